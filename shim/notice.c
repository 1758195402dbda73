/* notice.c - see notice.h. */
#include "notice.h"

#include <errno.h>
#include <sys/time.h>

#include "control.h"
#include "real.h"
#include "settings.h"

static int connect_notice(const char *path) {
    struct sockaddr_un name;
    struct timeval wait = {.tv_sec = SHIM_NOTICE_WAIT_MS / 1000,
                           .tv_usec = SHIM_NOTICE_WAIT_MS % 1000 * 1000};
    int fd = raw_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    raw_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    raw_setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (raw_connect(fd, &name, shim_path_name(&name, path)) == 0 ||
        raw_connect(fd, &name, shim_abstract_name(&name, path)) == 0)
        return fd;
    raw_close(fd);
    return -1;
}

void notice_linger(uint64_t id, bool reset) {
    const struct settings *settings = settings_get();
    struct shim_request req = {.magic = SHIM_CONTROL_MAGIC,
                               .version = SHIM_CONTROL_VERSION,
                               .size = sizeof req,
                               .id = id,
                               .kind = SHIM_NOTICE_LINGER,
                               .flags = reset ? SHIM_LINGER_RESET : 0};
    struct iovec iov = {&req, sizeof req};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    char end;
    int saved = errno;
    int fd = settings ? connect_notice(settings->socket_path) : -1;
    if (fd >= 0) {
        if (raw_sendmsg(fd, &msg, MSG_NOSIGNAL) == sizeof req)
            real.syscall(SYS_recvfrom, fd, &end, (size_t)1, 0, NULL, NULL);
        raw_close(fd);
    }
    errno = saved;
}
