// SPDX-License-Identifier: MIT
module smuxshim/tests/bench/core/go

go 1.18

require github.com/xtaci/smux v1.5.57
