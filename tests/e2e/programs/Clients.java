// SPDX-License-Identifier: MIT
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** Java clients: Clients KIND HOST PORT COUNT. Prints "COUNT ok" if every answer was right. */
class Clients {
    static String host;
    static int port;
    static int count;

    public static void main(String[] args) throws Exception {
        host = args[1];
        port = Integer.parseInt(args[2]);
        count = Integer.parseInt(args[3]);
        int ok = switch (args[0]) {
            case "socket" -> overSocket();
            case "http" -> overHttpClient();
            case "nio" -> overSelector();
            default -> throw new IllegalArgumentException(args[0]);
        };
        System.out.println(ok + " ok");
    }

    /** Blocking sockets, half-closed, against peer.py. */
    static int overSocket() throws Exception {
        int ok = 0;
        for (int i = 0; i < count; i++) {
            try (Socket socket = new Socket()) {
                socket.setTcpNoDelay(true);
                socket.setSoTimeout(60000);
                socket.connect(new InetSocketAddress(host, port), 60000);
                socket.getOutputStream().write(("echo\nnumber " + i).getBytes());
                socket.shutdownOutput();
                InputStream in = socket.getInputStream();
                ok += new String(in.readAllBytes()).equals("number " + i) ? 1 : 0;
            }
        }
        return ok;
    }

    /** HttpClient (asynchronous, HTTP/1.1) against the web server. */
    static int overHttpClient() {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        List<CompletableFuture<Boolean>> answers = new ArrayList<>();
        for (int i = 1; i <= count; i++) {
            URI uri = URI.create("http://" + host + ":" + port + "/small" + i);
            String expected = "file " + i + "\n";
            answers.add(client.sendAsync(HttpRequest.newBuilder(uri).build(),
                    HttpResponse.BodyHandlers.ofString()).thenApply(r -> r.body().equals(expected)));
        }
        return (int) answers.stream().filter(CompletableFuture::join).count();
    }

    /** Channels registered with a selector before they connect, against peer.py. */
    static int overSelector() throws Exception {
        Selector selector = Selector.open();
        for (int i = 0; i < count; i++) {
            SocketChannel channel = SocketChannel.open();
            channel.configureBlocking(false);
            channel.register(selector, SelectionKey.OP_CONNECT, i);
            channel.connect(new InetSocketAddress(host, port));
        }
        int open = count;
        int ok = 0;
        ByteBuffer buffer = ByteBuffer.allocate(100);
        while (open > 0) {
            selector.select(60000);
            for (SelectionKey key : selector.selectedKeys()) {
                SocketChannel channel = (SocketChannel) key.channel();
                byte[] line = (key.attachment() + "\n").getBytes();
                if (key.isConnectable()) {
                    channel.finishConnect();
                    channel.write(StandardCharsets.US_ASCII.encode("echo\n" + key.attachment() + "\n"));
                    key.interestOps(SelectionKey.OP_READ);
                } else if (key.isReadable()) {
                    buffer.clear();
                    channel.read(buffer);
                    ok += ByteBuffer.wrap(line).equals(buffer.flip()) ? 1 : 0;
                    channel.close();
                    open--;
                }
            }
            selector.selectedKeys().clear();
        }
        return ok;
    }
}
