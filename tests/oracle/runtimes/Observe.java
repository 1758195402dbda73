// SPDX-License-Identifier: MIT
// What Java's sockets observe: run direct and under the shim, the output must be the same. It is its
// own server: what it accepts is plain TCP in both runs. See ../README.md.

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.AsynchronousSocketChannel;
import java.nio.channels.FileChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

public class Observe {
    static final int WAIT_MS = 20000; // for what must happen

    interface Action {
        Object run() throws Exception;
    }

    static void observe(String name, Object value) {
        System.out.println(name + ": " + value);
    }

    /** Its result, or the kind and the text of its exception. */
    static void observe(String name, Action action) {
        Object value;
        try {
            value = action.run();
        } catch (ExecutionException e) {
            value = e.getCause().getClass().getSimpleName() + " " + e.getCause().getMessage();
        } catch (Exception e) {
            value = e.getClass().getSimpleName() + " " + e.getMessage();
        }
        observe(name, value);
    }

    static ServerSocket server;
    static InetSocketAddress nobody;

    static InetSocketAddress address() {
        return new InetSocketAddress(server.getInetAddress(), server.getLocalPort());
    }

    static Socket accept() throws IOException {
        Socket accepted = server.accept();
        accepted.setSoTimeout(WAIT_MS);
        return accepted;
    }

    static void reset(Socket socket) throws IOException {
        socket.setSoLinger(true, 0);
        socket.close();
    }

    static String all(InputStream in) throws IOException {
        return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    // ---- java.net.Socket

    static void names() throws Exception {
        try (Socket socket = new Socket("127.0.0.1", server.getLocalPort()); Socket accepted = accept()) {
            observe("remote address", socket.getRemoteSocketAddress().equals(address()));
            observe("local address", socket.getLocalAddress());
            observe("local port is what the server sees", socket.getLocalPort() == accepted.getPort());
            observe("connected, bound, closed", List.of(socket.isConnected(), socket.isBound(), socket.isClosed()));
            socket.setTcpNoDelay(true);
            socket.setKeepAlive(true);
            socket.setSoLinger(true, 5);
            socket.setTrafficClass(0x10);
            socket.setOOBInline(true);
            observe("options", List.of(socket.getTcpNoDelay(), socket.getKeepAlive(), socket.getSoLinger(),
                    socket.getTrafficClass(), socket.getOOBInline(), socket.getReuseAddress()));
            observe("supported options", socket.supportedOptions().size());
            observe("connect again", () -> {
                socket.connect(address());
                return "connected";
            });
            observe("bind", () -> {
                socket.bind(null);
                return "bound";
            });
        }
        try (Socket socket = new Socket()) {
            socket.bind(new InetSocketAddress("127.0.0.1", 0));
            int port = socket.getLocalPort();
            socket.connect(address(), WAIT_MS);
            observe("a bound port stays", port == socket.getLocalPort());
            accept().close();
        }
        observe("refused", () -> new Socket("127.0.0.1", nobody.getPort()));
        observe("refused, with a timeout", () -> {
            Socket socket = new Socket();
            socket.connect(nobody, WAIT_MS);
            return socket;
        });
    }

    static void data() throws Exception {
        byte[] whole = new byte[3 << 20];
        for (int i = 0; i < whole.length; i++)
            whole[i] = (byte) (i * 7 + (i >> 8));
        try (Socket socket = new Socket("127.0.0.1", server.getLocalPort()); Socket accepted = accept()) {
            CompletableFuture<byte[]> got = CompletableFuture.supplyAsync(() -> {
                try {
                    return accepted.getInputStream().readAllBytes();
                } catch (IOException e) {
                    return new byte[0];
                }
            });
            socket.getOutputStream().write(whole);
            socket.shutdownOutput();
            observe("3 MiB", Arrays.equals(whole, got.get(WAIT_MS, TimeUnit.MILLISECONDS)));
            observe("write after shutdownOutput", () -> {
                socket.getOutputStream().write(1);
                return "written";
            });
            socket.setSoTimeout(50);
            observe("read in vain", () -> socket.getInputStream().read());
            socket.setSoTimeout(WAIT_MS);
            accepted.getOutputStream().write(bytes("late answer"));
            observe("readNBytes", new String(socket.getInputStream().readNBytes(4)));
            Thread.sleep(20);
            observe("available", socket.getInputStream().available());
            accepted.close();
            observe("the rest", all(socket.getInputStream()));
            observe("at the end", socket.getInputStream().read());
        }
    }

    /** Is it in a native method of the sockets' implementation, where it waits? */
    static boolean isInSocketCall(Thread thread) {
        StackTraceElement[] stack = thread.getStackTrace();
        return stack.length > 0 && stack[0].isNativeMethod() && stack[0].getClassName().startsWith("sun.nio.ch.");
    }

    static void ends() throws Exception {
        try (Socket socket = new Socket("127.0.0.1", server.getLocalPort()); Socket accepted = accept()) {
            reset(accepted);
            observe("read after a reset", () -> socket.getInputStream().read());
            observe("read again", () -> socket.getInputStream().read());
            observe("write after it", () -> {
                socket.getOutputStream().write(1);
                return "written";
            });
        }
        try (Socket socket = new Socket("127.0.0.1", server.getLocalPort()); Socket accepted = accept()) {
            reset(socket);
            observe("the server sees the reset", () -> accepted.getInputStream().read());
        }
        try (Socket socket = new Socket("127.0.0.1", server.getLocalPort()); Socket accepted = accept()) {
            InputStream in = socket.getInputStream();
            CompletableFuture<Thread> reader = new CompletableFuture<>();
            CompletableFuture<String> waiting = CompletableFuture.supplyAsync(() -> {
                reader.complete(Thread.currentThread());
                try {
                    return "read " + in.read();
                } catch (IOException e) {
                    return e.getClass().getSimpleName() + " " + e.getMessage();
                }
            });
            while (!isInSocketCall(reader.get(WAIT_MS, TimeUnit.MILLISECONDS)))
                Thread.sleep(1);
            socket.close();
            observe("closed under a reader", waiting.get(WAIT_MS, TimeUnit.MILLISECONDS));
            observe("the server sees the end", accepted.getInputStream().read());
        }
        try (Socket socket = new Socket("127.0.0.1", server.getLocalPort()); Socket accepted = accept()) {
            socket.sendUrgentData('!');
            socket.getOutputStream().write('x');
            observe("behind urgent data", accepted.getInputStream().read());
        }
        try (Socket socket = new Socket("127.0.0.1", server.getLocalPort()); Socket accepted = accept()) {
            socket.shutdownInput();
            observe("read after shutdownInput", () -> socket.getInputStream().read());
            socket.getOutputStream().write(bytes("still"));
            observe("writing goes on", new String(accepted.getInputStream().readNBytes(5)));
        }
    }

    // ---- java.nio.channels

    static void blockingChannel() throws Exception {
        try (SocketChannel channel = SocketChannel.open(address()); Socket accepted = accept()) {
            observe("channel: remote address", channel.getRemoteAddress().equals(address()));
            observe("channel: TCP_NODELAY", channel.setOption(StandardSocketOptions.TCP_NODELAY, true)
                    .getOption(StandardSocketOptions.TCP_NODELAY));
            ByteBuffer[] parts = {ByteBuffer.wrap(bytes("one ")), ByteBuffer.wrap(bytes("two"))};
            observe("channel: gathered write", channel.write(parts));
            observe("channel: arrives", new String(accepted.getInputStream().readNBytes(7)));
            Path file = Files.createTempFile("observe", null);
            Files.write(file, new byte[100000]);
            try (FileChannel from = FileChannel.open(file)) {
                long sent = 0;
                while (sent < from.size())
                    sent += from.transferTo(sent, from.size() - sent, channel);
                observe("channel: transferTo", sent);
            }
            Files.delete(file);
            observe("channel: its bytes", accepted.getInputStream().readNBytes(100000).length);
            channel.shutdownOutput();
            accepted.getOutputStream().write(bytes("scattered"));
            accepted.close();
            ByteBuffer first = ByteBuffer.allocate(4), second = ByteBuffer.allocate(10);
            while (channel.read(new ByteBuffer[] {first, second}) >= 0)
                continue;
            observe("channel: scattered read", first.position() + " " + second.position());
        }
    }

    static String ready(Selector selector, SelectionKey key) throws IOException {
        selector.select(WAIT_MS);
        selector.selectedKeys().clear();
        List<String> ready = new ArrayList<>();
        if (key.isConnectable())
            ready.add("connect");
        if (key.isReadable())
            ready.add("read");
        if (key.isWritable())
            ready.add("write");
        return ready.toString();
    }

    static void selectedChannel() throws Exception {
        try (SocketChannel channel = SocketChannel.open(); Selector selector = Selector.open()) {
            channel.configureBlocking(false);
            SelectionKey key = channel.register(selector, SelectionKey.OP_CONNECT);
            boolean at_once = channel.connect(address());
            observe("selected: connected at once", at_once);
            observe("selected: ready", ready(selector, key));
            observe("selected: finishConnect", channel.finishConnect());
            Socket accepted = accept();
            key.interestOps(SelectionKey.OP_READ | SelectionKey.OP_WRITE);
            observe("selected: then", ready(selector, key));
            observe("selected: read without data", channel.read(ByteBuffer.allocate(10)));
            key.interestOps(SelectionKey.OP_READ);
            accepted.getOutputStream().write(bytes("data"));
            observe("selected: data", ready(selector, key) + channel.read(ByteBuffer.allocate(10)));
            observe("selected: nothing more", selector.selectNow());
            accepted.close();
            observe("selected: end", ready(selector, key) + channel.read(ByteBuffer.allocate(10)));
        }
        try (SocketChannel channel = SocketChannel.open(); Selector selector = Selector.open()) {
            channel.configureBlocking(false);
            channel.connect(nobody);
            SelectionKey key = channel.register(selector, SelectionKey.OP_CONNECT);
            observe("selected: refused", ready(selector, key));
            observe("selected: its finishConnect", channel::finishConnect);
        }
        try (SocketChannel channel = SocketChannel.open(address()); Selector selector = Selector.open();
                Socket accepted = accept()) {
            channel.configureBlocking(false);
            SelectionKey key = channel.register(selector, SelectionKey.OP_READ);
            reset(accepted);
            observe("selected: reset", ready(selector, key));
            observe("selected: its read", () -> channel.read(ByteBuffer.allocate(1)));
        }
    }

    static void asynchronousChannel() throws Exception {
        try (AsynchronousSocketChannel channel = AsynchronousSocketChannel.open()) {
            channel.connect(address()).get(WAIT_MS, TimeUnit.MILLISECONDS);
            Socket accepted = accept();
            observe("asynchronous: remote address", channel.getRemoteAddress().equals(address()));
            observe("asynchronous: write", channel.write(ByteBuffer.wrap(bytes("hello"))).get());
            observe("asynchronous: arrives", new String(accepted.getInputStream().readNBytes(5)));
            ByteBuffer buffer = ByteBuffer.allocate(10);
            var reading = channel.read(buffer);
            accepted.getOutputStream().write(bytes("answer"));
            observe("asynchronous: read", reading.get(WAIT_MS, TimeUnit.MILLISECONDS));
            reset(accepted);
            observe("asynchronous: reset", () -> channel.read(buffer).get(WAIT_MS, TimeUnit.MILLISECONDS));
        }
        try (AsynchronousSocketChannel channel = AsynchronousSocketChannel.open()) {
            observe("asynchronous: refused", () -> channel.connect(nobody).get(WAIT_MS, TimeUnit.MILLISECONDS));
        }
    }

    static void manyThreads() throws Exception {
        List<CompletableFuture<String>> clients = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            String text = "number " + i;
            clients.add(CompletableFuture.supplyAsync(() -> {
                try (Socket socket = new Socket("127.0.0.1", server.getLocalPort())) {
                    socket.getOutputStream().write(bytes(text));
                    socket.shutdownOutput();
                    return all(socket.getInputStream());
                } catch (IOException e) {
                    return e.toString();
                }
            }, task -> new Thread(task).start()));
        }
        for (int i = 0; i < 50; i++) {
            Socket accepted = accept();
            new Thread(() -> {
                try (accepted) {
                    accepted.getInputStream().transferTo(accepted.getOutputStream());
                } catch (IOException e) {
                    observe("echo", e);
                }
            }).start();
        }
        boolean right = true;
        for (int i = 0; i < 50; i++)
            right &= clients.get(i).get(WAIT_MS, TimeUnit.MILLISECONDS).equals("number " + i);
        observe("fifty threads", right);
    }

    public static void main(String[] arguments) throws Exception {
        InetAddress loopback = InetAddress.getByName("127.0.0.1");
        server = new ServerSocket(0, 64, loopback);
        server.setSoTimeout(WAIT_MS);
        try (ServerSocket closed = new ServerSocket(0, 1, loopback)) {
            nobody = new InetSocketAddress(loopback, closed.getLocalPort());
        }
        names();
        data();
        ends();
        blockingChannel();
        selectedChannel();
        asynchronousChannel();
        manyThreads();
        System.exit(0);
    }
}
