/* SPDX-License-Identifier: MIT */
/* ctl_top.c - smuxctl top: the busiest connections, on the whole terminal. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "helper/ctl/ctl_sample.h"

#define INTERVAL_MS 1000
#define HEAD_LINES  4 /* above the rows, and one line that stays empty */

#define ENTER_SCREEN "\033[?1049h\033[?25l" /* the other screen, no cursor */
#define LEAVE_SCREEN "\033[?25h\033[?1049l"
#define CLEAR        "\033[H\033[J"

static const struct {
    char key;
    enum ctl_order order;
    const char *name;
} orders[] = {{'r', CTL_BY_RATE, "rate"},
              {'i', CTL_BY_RATE_IN, "rate in"},
              {'o', CTL_BY_RATE_OUT, "rate out"},
              {'b', CTL_BY_BYTES, "bytes"},
              {'a', CTL_BY_AGE, "age"},
              {'p', CTL_BY_PROGRAM, "program"},
              {'d', CTL_BY_DESTINATION, "destination"}};

struct top {
    struct ctl_sample sample;
    size_t order; /* index into orders */
    bool reverse, paused;
};

/* ---- The terminal ---- */

static struct termios before;
static volatile sig_atomic_t ended;

static void on_signal(int signo) {
    if (signo != SIGWINCH)
        ended = 1;
}

/* Keys come one by one and unseen; ^C still ends the program. */
static bool take_terminal(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    struct sigaction action = {.sa_handler = on_signal}; /* poll is to be interrupted */
    struct termios raw;
    if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &before) < 0)
        return false;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
    raw = before;
    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs(ENTER_SCREEN, stdout);
    return true;
}

static void return_terminal(void) {
    fputs(LEAVE_SCREEN, stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static size_t height(void) {
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row;
    return known ? size.ws_row : 24;
}

/* ---- What it shows ---- */

static void draw(struct top *top) {
    const struct ctl_sample *sample = &top->sample;
    size_t width = ctl_width(), rows = height();
    double in = 0, out = 0;
    char rate_in[32], rate_out[32], line[256];
    for (size_t i = 0; i < sample->count; i++) {
        in += sample->streams[i].rate_in;
        out += sample->streams[i].rate_out;
    }
    ctl_sample_sort(&top->sample, orders[top->order].order, top->reverse);
    fputs(CLEAR, stdout);
    snprintf(line, sizeof line, "connections: %zu, in %s/s, out %s/s, by %s%s%s", sample->count,
             ctl_bytes(in, rate_in, sizeof rate_in), ctl_bytes(out, rate_out, sizeof rate_out),
             orders[top->order].name, top->reverse ? ", reversed" : "",
             top->paused ? ", paused" : "");
    printf("%.*s\n", (int)width, line);
    printf("%.*s\n\n", (int)width,
           "q quit; by r rate, i in, o out, b bytes, a age, p program, d destination; R reverse, "
           "space pause");
    ctl_sample_print(sample, width, rows > HEAD_LINES + 1 ? rows - HEAD_LINES - 1 : 1, stdout);
    fflush(stdout);
}

/* False: quit. */
static bool take_key(struct top *top, char key) {
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        if (orders[i].key == key)
            top->order = i;
    if (key == 'R')
        top->reverse = !top->reverse;
    if (key == ' ')
        top->paused = !top->paused;
    return key != 'q' && key != 'Q';
}

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Handles keys until the time is up. False: quit. */
static bool wait_for_keys(struct top *top, long long until_ms) {
    struct pollfd keyboard = {.fd = STDIN_FILENO, .events = POLLIN};
    char key;
    for (long long left; (left = until_ms - now_ms()) > 0;) {
        int ready = poll(&keyboard, 1, (int)left);
        if (ended || (ready < 0 && errno != EINTR))
            return false;
        if (ready == 0)
            break;
        if (ready > 0 && (read(STDIN_FILENO, &key, 1) != 1 || !take_key(top, key)))
            return false;
        draw(top); /* a key, or another size of the window */
    }
    return true;
}

int ctl_top(const struct ctl_options *options) {
    struct top top = {0};
    if (!ctl_sample_take(&top.sample, options))
        return CTL_FAILED;
    if (!take_terminal()) {
        ctl_sample_free(&top.sample);
        fputs("smuxctl: top: expected a terminal; `smuxctl streams --watch` needs none\n", stderr);
        return CTL_USAGE;
    }
    bool good = true, goes_on = true;
    while (good && goes_on) {
        draw(&top);
        goes_on = wait_for_keys(&top, now_ms() + INTERVAL_MS);
        if (goes_on && !top.paused)
            good = ctl_sample_take(&top.sample, options);
    }
    return_terminal();
    ctl_sample_free(&top.sample);
    if (!good) /* what was said before is gone with the screen */
        fputs("smuxctl: the helper has ended\n", stderr);
    return good ? CTL_OK : CTL_FAILED;
}
