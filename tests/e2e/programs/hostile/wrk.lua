-- SPDX-License-Identifier: MIT
-- Every body of wrk's must be the file.  In front of it wrk leaves what it had of answers that broke
-- off on the same connection before (without the shim as well): beginnings of the file.
local file = io.open(os.getenv("www") .. "/medium", "rb")
local wanted = file:read("*a")
file:close()
local mark = wanted:sub(1, 8)

local function are_beginnings(rest)
    while #rest > 0 do
        local next_one = rest:find(mark, 9, true) or #rest + 1
        if rest:sub(1, next_one - 1) ~= wanted:sub(1, next_one - 1) then
            return false
        end
        rest = rest:sub(next_one)
    end
    return true
end

response = function(status, headers, body)
    if status ~= 200 or body:sub(-#wanted) ~= wanted or not are_beginnings(body:sub(1, -#wanted - 1)) then
        io.stderr:write("wrong: status " .. status .. ", " .. #body .. " bytes\n")
    end
end
