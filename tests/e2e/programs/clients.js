// SPDX-License-Identifier: MIT
// node clients: clients.js http|fetch|net BASE COUNT.  Prints "COUNT ok" if every answer was right.
const http = require('http');
const net = require('net');
const [kind, base, countText] = process.argv.slice(2);
const count = Number(countText);

function get(url, agent) {
    return new Promise((resolve, reject) => {
        http.get(url, { agent }, (response) => {
            const parts = [];
            response.on('data', (part) => parts.push(part));
            response.on('end', () => resolve(Buffer.concat(parts).toString()));
        }).on('error', reject);
    });
}

// All at once, as far as the agent lets them; it uses its sockets again while requests wait.
function overHttp(agent) {
    return (i) => get(`${base}/small${i}`, agent).then((body) => body === `file ${i}\n`);
}

async function overFetch(i) {
    const response = await fetch(`${base}/small${i}`);
    return (await response.text()) === `file ${i}\n`;
}

function overNet(i) {
    const [host, port] = base.split(':');
    return new Promise((resolve, reject) => {
        const parts = [];
        const socket = net.connect({ host, port: Number(port) }, () => {
            if (socket.remoteAddress !== host || socket.remotePort !== Number(port))
                reject(new Error(`peer is ${socket.remoteAddress}:${socket.remotePort}`));
            socket.end(`echo\nnumber ${i}`);
        });
        socket.on('data', (part) => parts.push(part));
        socket.on('end', () => resolve(Buffer.concat(parts).toString() === `number ${i}`));
        socket.on('error', reject);
    });
}

const kinds = { http: overHttp(new http.Agent({ keepAlive: false, maxSockets: 100 })), fetch: overFetch, net: overNet };

async function main() {
    const results = await Promise.all(Array.from({ length: count }, (_, i) => kinds[kind](i + 1)));
    console.log(`${results.filter(Boolean).length} ok`);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
