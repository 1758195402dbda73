// SPDX-License-Identifier: MIT
module smuxshim/tests/interop/go-peer

go 1.18

require github.com/xtaci/smux v1.5.57
