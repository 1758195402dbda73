/* SPDX-License-Identifier: MIT */
/* smux-gateway: accepts carriers and opens the real connections. See gateway_process.h. */
#include "helper/gateway/gateway_process.h"

int main(int argc, char **argv) {
    return gateway_process(argc, argv);
}
