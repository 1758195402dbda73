/* smux-helper: carries the shim's connections to a gateway. See helper_process.h. */
#include "helper/helper_process.h"

int main(int argc, char **argv) {
    return helper_process(argc, argv);
}
