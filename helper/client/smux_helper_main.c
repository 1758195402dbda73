/* SPDX-License-Identifier: MIT */
/* smux-helper: carries the shim's connections to a gateway. See helper_process.h. */
#include "core/common/config.h"
#include "helper/client/helper_process.h"

int main(int argc, char **argv) {
    config_make_absolute(); /* it changes its folder, and reads the file again later */
    return helper_process(argc, argv);
}
