// SPDX-License-Identifier: MIT
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/** A Java client that does not give up: HostileClient WEB_PORT PEER_PORT SECONDS FILE. Prints JSON. */
class HostileClient {
    static final int LIMIT_MS = 60000;
    static final AtomicInteger done = new AtomicInteger();
    static final AtomicInteger errors = new AtomicInteger();
    static final List<String> problems = Collections.synchronizedList(new ArrayList<>());
    static int webPort;
    static int peerPort;
    static byte[] file;
    static byte[] pattern = new byte[30000];

    interface Operation {
        void run() throws Exception;
    }

    /** What is no connection error. */
    static class Wrong extends Exception {
        Wrong(String what) {
            super(what);
        }
    }

    static void blocking() throws Exception {
        try (Socket socket = new Socket()) {
            socket.setSoTimeout(LIMIT_MS);
            socket.connect(new InetSocketAddress("127.0.0.1", peerPort), LIMIT_MS);
            socket.getOutputStream().write("echo\n".getBytes());
            socket.getOutputStream().write(pattern);
            socket.shutdownOutput();
            byte[] got = socket.getInputStream().readAllBytes();
            if (!Arrays.equals(got, pattern)) {
                throw new Wrong("a false end after " + got.length + " bytes");
            }
        } catch (SocketTimeoutException timeout) {
            throw new Wrong("hung");
        }
    }

    static void client() throws Exception {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + webPort + "/medium"))
                .timeout(Duration.ofMillis(LIMIT_MS)).build();
        HttpResponse<byte[]> response = client.send(request, HttpResponse.BodyHandlers.ofByteArray());
        if (response.statusCode() != 200 || !Arrays.equals(response.body(), file)) {
            throw new Wrong("status " + response.statusCode() + ", " + response.body().length + " bytes");
        }
    }

    static void selector() throws Exception {
        try (Selector selector = Selector.open(); SocketChannel channel = SocketChannel.open()) {
            ByteArrayOutputStream got = new ByteArrayOutputStream();
            ByteBuffer buffer = ByteBuffer.allocate(8192);
            channel.configureBlocking(false);
            channel.register(selector, SelectionKey.OP_CONNECT);
            channel.connect(new InetSocketAddress("127.0.0.1", peerPort));
            for (;;) {
                if (selector.select(LIMIT_MS) == 0) {
                    throw new Wrong("hung");
                }
                SelectionKey key = selector.selectedKeys().iterator().next();
                selector.selectedKeys().clear();
                if (key.isConnectable() && channel.finishConnect()) {
                    channel.write(ByteBuffer.wrap("send 20000\n".getBytes()));
                    key.interestOps(SelectionKey.OP_READ);
                } else if (key.isReadable()) {
                    int n = channel.read(buffer.clear());
                    if (n < 0) {
                        break;
                    }
                    got.write(buffer.array(), 0, n);
                }
            }
            byte[] bytes = got.toByteArray();
            for (int i = 0; i < bytes.length; i++) {
                if (bytes[i] != (byte) i) {
                    throw new Wrong("wrong byte at " + i);
                }
            }
            if (bytes.length != 20000) {
                throw new Wrong("a false end after " + bytes.length + " bytes");
            }
        }
    }

    static void work(String name, Operation operation, long until) {
        while (System.currentTimeMillis() < until) {
            try {
                operation.run();
                done.incrementAndGet();
            } catch (java.net.http.HttpTimeoutException | Wrong problem) {
                problems.add(name + ": " + problem);
            } catch (IOException error) {
                errors.incrementAndGet();
            } catch (Exception problem) {
                problems.add(name + ": " + problem);
            }
            try {
                Thread.sleep(100);
            } catch (InterruptedException ignored) {
                return;
            }
        }
    }

    public static void main(String[] args) throws Exception {
        webPort = Integer.parseInt(args[0]);
        peerPort = Integer.parseInt(args[1]);
        long until = System.currentTimeMillis() + (long) (Double.parseDouble(args[2]) * 1000);
        file = Files.readAllBytes(Path.of(args[3]));
        for (int i = 0; i < pattern.length; i++) {
            pattern[i] = (byte) (i % 251);
        }
        List<Thread> threads = List.of(new Thread(() -> work("Socket", HostileClient::blocking, until)),
                new Thread(() -> work("HttpClient", HostileClient::client, until)),
                new Thread(() -> work("Selector", HostileClient::selector, until)));
        threads.forEach(Thread::start);
        for (Thread thread : threads) {
            thread.join();
        }
        StringBuilder list = new StringBuilder();
        for (String problem : problems) {
            list.append(list.length() > 0 ? ", " : "").append('"').append(problem.replaceAll("[\"\\\\\n]", " ")).append('"');
        }
        System.out.println("{\"done\": " + done + ", \"errors\": " + errors + ", \"problems\": [" + list + "]}");
        System.exit(0);
    }
}
