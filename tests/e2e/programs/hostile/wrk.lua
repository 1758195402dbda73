-- Every body of wrk's must be the file.
local file = io.open(os.getenv("www") .. "/medium", "rb")
local wanted = file:read("*a")
file:close()

response = function(status, headers, body)
    if status ~= 200 or body ~= wanted then
        io.stderr:write("wrong: status " .. status .. ", " .. #body .. " bytes\n")
    end
end
