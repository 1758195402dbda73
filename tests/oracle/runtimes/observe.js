// SPDX-License-Identifier: MIT
'use strict';
// What node's sockets observe: run direct and under the shim, the output must be the same. It is its
// own server: what it accepts is plain TCP in both runs. See ../README.md.

const fs = require('fs');
const http = require('http');
const net = require('net');
const { once } = require('events');
const { pipeline } = require('stream/promises');
const { Readable } = require('stream');
const timers = require('timers/promises');

function observe(name, value) {
  console.log(`${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`);
}

/** Notes the names of a socket's events, in order; end, error and close only once each anyway. */
function telling(socket) {
  watch(socket);
  const events = [];
  for (const name of ['connect', 'ready', 'end', 'timeout'])
    socket.on(name, () => events.push(name));
  socket.on('error', (error) => events.push(`error ${error.code} ${error.syscall}`));
  socket.on('close', (hadError) => events.push(`close ${hadError}`));
  return events;
}

/** Waits for the event, which `closed` of node's may be true long before. */
const closed = (socket) => closings.get(socket);
const closings = new WeakMap();
const watch = (socket) => closings.set(socket, new Promise((resolve) => socket.on('close', () => setImmediate(resolve))));

async function serve(options) {
  const server = net.createServer(options);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function pair(server, options) {
  const accepting = once(server, 'connection');
  const client = net.connect({ port: server.address().port, host: '127.0.0.1', ...options });
  const events = telling(client);
  const [accepted] = await accepting;
  accepted.on('error', () => null);
  watch(accepted);
  if (client.connecting)
    await once(client, 'connect');
  return { client, accepted, events };
}

/** A port where nobody listens. */
async function refusing() {
  const server = await serve();
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Everything up to the end of the stream; the socket stays as it is. */
function read(stream) {
  const parts = [];
  stream.on('data', (part) => parts.push(part));
  return new Promise((resolve, reject) => stream.on('end', () => resolve(Buffer.concat(parts))).on('error', reject));
}

async function names(server) {
  const { client, accepted, events } = await pair(server);
  observe('address, family', [client.remoteAddress, client.remoteFamily, client.localAddress, client.localFamily]);
  observe('remote port', client.remotePort === server.address().port);
  observe('local port is what the server sees', client.localPort === accepted.remotePort);
  observe('address()', Object.keys(client.address()).sort());
  observe('ready state', [client.readyState, client.pending, client.connecting]);
  observe('options', [client.setNoDelay(true) === client, client.setKeepAlive(true, 5000) === client]);
  client.end();
  accepted.resume();
  accepted.end();
  await Promise.all([closed(client), closed(accepted)]);
  observe('events of an orderly end, nothing read', events.filter((name) => name !== 'end'));
  observe('ready state then', client.readyState);
}

async function data(server) {
  const whole = Buffer.alloc(3 << 20, 'abcdefg');
  let { client, accepted, events } = await pair(server);
  const got = read(accepted);
  client.write(whole);
  client.end('tail');
  observe('3 MiB and a tail', (await got).equals(Buffer.concat([whole, Buffer.from('tail')])));
  accepted.end('late answer');
  observe('after our own end', (await read(client)).toString());
  await closed(client);
  observe('events', events);
  observe('bytes', [client.bytesWritten, client.bytesRead]);

  ({ client, accepted, events } = await pair(server));
  const taken = read(accepted);
  await pipeline(Readable.from(Array.from({ length: 100 }, (_, i) => `line ${i}\n`)), client);
  observe('pipeline', (await taken).toString().split('\n').length);
  client.resume();
  accepted.end();
  await closed(client);

  ({ client, accepted, events } = await pair(server));
  const source = fs.createReadStream(__filename);
  const copy = read(accepted);
  source.pipe(client);
  observe('a piped file', (await copy).equals(fs.readFileSync(__filename)));
  accepted.end();
  client.resume();
  await closed(client);

  ({ client, accepted, events } = await pair(server));
  client.cork();
  for (const word of ['one ', 'two ', 'three'])
    client.write(word);
  client.uncork();
  client.end();
  observe('corked', (await read(accepted)).toString());
  client.resume();
  accepted.end();
  await closed(client);

  ({ client, accepted, events } = await pair(server, { onread: { buffer: Buffer.alloc(100), callback: (n, buffer) => {
    observe('onread', buffer.subarray(0, n).toString());
    return true;
  } } }));
  accepted.end('into a buffer');
  await closed(client);
  observe('its events', events);
}

/**
 * Where there is less to read than it has room for, and a hang-up, libuv says that this is the end,
 * without another read: 'end' comes in place of 'error', over TCP as well, if node is busy until data
 * and reset are both there.  The descriptor still has the error then.
 */
async function resetBehindData(server) {
  const { client, accepted } = await pair(server);
  accepted.write(Buffer.alloc(30249));
  accepted.resetAndDestroy();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  let length = 0;
  client.on('data', (part) => { length += part.length; });
  const code = await new Promise((resolve) => {
    client.on('error', (error) => resolve(error.code));
    client.on('end', () => resolve(pendingError(client)));
  });
  return [length, code];
}

function pendingError(socket) {
  try {
    return fs.readSync(socket._handle.fd, Buffer.alloc(1));
  } catch (error) {
    return error.code;
  }
}

async function ends(server, nobody) {
  let client = net.connect(nobody, '127.0.0.1');
  let events = telling(client);
  await closed(client);
  observe('refused', events);

  client = net.connect(nobody, 'localhost');
  watch(client);
  client.on('error', (error) => observe('refused by name', error.errors ? error.errors.map((one) => one.code).at(-1) : error.code));
  await closed(client);

  let accepted;
  ({ client, accepted, events } = await pair(server));
  client.resume();
  accepted.resetAndDestroy();
  await closed(client);
  observe('reset by the server', events);
  observe('reset behind data', await resetBehindData(server));

  ({ client, accepted, events } = await pair(server));
  const seen = telling(accepted);
  accepted.resume();
  client.resetAndDestroy();
  await closed(accepted);
  observe('reset by us', [events.at(-1), seen.at(-1), seen.some((name) => name.startsWith('error ECONNRESET'))]);

  ({ client, accepted, events } = await pair(server));
  accepted.resetAndDestroy();
  await Promise.race([closed(client), timers.setTimeout(300)]);
  client.write('x');
  await closed(client);
  observe('a write after a reset', events.filter((name) => name.startsWith('error')).length);

  ({ client, accepted, events } = await pair(server));
  client.resume();
  client.destroy();
  accepted.resume();
  accepted.end();
  await Promise.all([closed(client), closed(accepted)]);
  observe('destroyed', events);

  ({ client, accepted, events } = await pair(server));
  client.setTimeout(50);
  await once(client, 'timeout');
  observe('idle timeout', events.includes('timeout'));
  client.destroy(new Error('ours'));
  await closed(client);
  observe('destroyed with an error', events.at(-1));
  accepted.destroy();

  const aborting = new AbortController();
  client = net.connect({ port: server.address().port, host: '127.0.0.1', signal: aborting.signal });
  watch(client);
  client.on('error', (error) => observe('aborted', error.name));
  aborting.abort();
  await closed(client);

  ({ client, accepted, events } = await pair(server, { allowHalfOpen: true }));
  accepted.end('bye');
  accepted.resume();
  observe('half open: read', (await read(client)).toString());
  observe('half open: still writable', client.writable);
  client.end('so long');
  await Promise.all([closed(client), closed(accepted)]);
  observe('half open: events', events);
}

async function manyAtOnce(server) {
  const pairs = [];
  const accepted = [];
  server.on('connection', (socket) => {
    socket.on('error', () => null);
    socket.pipe(socket);
    accepted.push(socket);
  });
  for (let i = 0; i < 100; i++) {
    const client = net.connect(server.address().port, '127.0.0.1');
    client.end(`number ${i}`);
    pairs.push(read(client));
  }
  const answers = await Promise.all(pairs);
  observe('a hundred echoes', answers.every((answer, i) => answer.toString() === `number ${i}`));
  server.removeAllListeners('connection');
}

async function requests() {
  const server = http.createServer((request, response) => response.end(request.url)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  const get = (path) => new Promise((resolve, reject) => http.get(
    { port: server.address().port, host: '127.0.0.1', path, agent },
    async (response) => resolve((await read(response)).toString())).on('error', reject));
  const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => get(`/${i}`)));
  observe('http with four kept sockets', answers.every((answer, i) => answer === `/${i}`));
  const answer = await fetch(`http://127.0.0.1:${server.address().port}/fetched`);
  observe('fetch', await answer.text());
  agent.destroy();
  server.closeAllConnections();
  server.close();
}

async function main() {
  const server = await serve({ allowHalfOpen: true });
  await names(server);
  await data(server);
  await ends(server, await refusing());
  await manyAtOnce(server);
  await requests();
  server.close();
}

// An await that nothing ends any more would end the process in silence.
process.exitCode = 3;
main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
