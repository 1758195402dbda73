/* SPDX-License-Identifier: MIT */
/* ctl_text.c - see ctl_text.h. */
#include "helper/ctl/ctl_text.h"

#include <pwd.h>
#include <stdio.h>
#include <time.h>

const char *ctl_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text && *text ? text : "-";
}

long long ctl_number(const json_t *object, const char *key) {
    return (long long)json_integer_value(json_object_get(object, key));
}

const char *ctl_bytes(double bytes, char *out, size_t size) {
    static const char units[] = "BKMGTP";
    size_t unit = 0;
    for (; bytes >= 1000 && unit + 2 < sizeof units; unit++)
        bytes /= 1024;
    snprintf(out, size, "%.*f%c", unit && bytes < 10 ? 1 : 0, bytes, units[unit]);
    return out;
}

const char *ctl_age(long long ms, char *out, size_t size) {
    static const struct {
        long long below_ms, unit_ms;
        char unit;
    } steps[] = {{600000, 1000, 's'}, {36000000, 60000, 'm'}, {259200000, 3600000, 'h'}};
    if (ms < 10000) {
        snprintf(out, size, "%.1fs", (double)ms / 1000);
        return out;
    }
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (ms < steps[i].below_ms) {
            snprintf(out, size, "%lld%c", ms / steps[i].unit_ms, steps[i].unit);
            return out;
        }
    snprintf(out, size, "%lldd", ms / 86400000);
    return out;
}

const char *ctl_since(long long since, char *out, size_t size) {
    time_t when = (time_t)since;
    struct tm tm;
    if (since == 0 || !localtime_r(&when, &tm))
        return "-";
    strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm);
    return out;
}

const char *ctl_user(long long uid, char *out, size_t size) {
    static long long last_uid = -1;
    static char last[33]; /* a list is mostly of one user */
    if (uid < 0) {        /* not known */
        snprintf(out, size, "-");
        return out;
    }
    if (uid != last_uid) {
        const struct passwd *entry = getpwuid((uid_t)uid);
        if (entry)
            snprintf(last, sizeof last, "%s", entry->pw_name);
        else
            snprintf(last, sizeof last, "%lld", uid);
        last_uid = uid;
    }
    snprintf(out, size, "%s", last);
    return out;
}
