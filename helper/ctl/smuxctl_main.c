/* SPDX-License-Identifier: MIT */
/* smuxctl: asks and commands a running smux-helper. See ctl.h. */
#include "helper/ctl/ctl.h"

int main(int argc, char **argv) {
    return ctl_main(argc, argv);
}
