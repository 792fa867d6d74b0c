-- The key log of Mast (Sources/Transport/Transport.docc/KeyLog.md), for mast.lua: which keys there are for a packet, and what
-- they make of it.

local xor = (bit32 or bit).bxor

local KeyLog = {}
KeyLog.__index = KeyLog

-- Key bytes and the file that opens what is sealed with them. Twelve bytes of initialization vector stand behind a key.
local ciphers = {
    AEAD_AES_128_GCM = { 16, "mast_gcm.lua" }, AEAD_AES_256_GCM = { 32, "mast_gcm.lua" },
    AEAD_CHACHA20_POLY1305 = { 32, "mast_chacha.lua" },
}

local function raw(hex) return (hex:gsub("..", function(byte) return string.char(tonumber(byte, 16)) end)) end

-- `name` is "" for none. `keys` are by the connection ID that a packet goes to and the number of key phases before it,
-- `methods` by the number that calls have on the wire.
local function read(name, folder)
    local log = setmetatable({ name = name, keys = {}, methods = {}, fault = nil }, KeyLog)
    log:forget()
    if name == "" then return log end
    local file, fault = io.open(name, "r")
    if file == nil then
        log.fault = "the key log cannot be read: " .. fault
        return log
    end
    local lines, openers = 0, {}
    for _, script in ipairs({ "mast_gcm.lua", "mast_chacha.lua" }) do
        local found, open = pcall(dofile, folder .. script)
        if found then openers[script] = open else log.fault = script .. " is missing beside mast.lua" end
    end
    local function keep(id, generation, cipher, bytes)
        local size, all = cipher[1], raw(bytes)
        log.keys[id] = log.keys[id] or {}
        log.keys[id][generation] = { open = openers[cipher[2]], key = all:sub(1, size), iv = { all:byte(size + 1, size + 12) } }
    end
    for line in file:lines() do
        local a, b, generation, cipher, to_b, to_a = line:match("^MAST_PACKET_KEYS (%x+) (%x+) (%d+) (%S+) (%x+) (%x+)%s*$")
        local known = a ~= nil and ciphers[cipher]
        if known and #a == 16 and #b == 16 and #to_a == 2 * (known[1] + 12) and #to_b == #to_a then
            lines = lines + 1
            keep(b:lower(), tonumber(generation), known, to_b)
            keep(a:lower(), tonumber(generation), known, to_a)
        end
        local number, path = line:match("^MAST_METHOD (%x+) (%S+)%s*$")
        if number ~= nil then log.methods[number:lower()] = path end
    end
    file:close()
    if lines == 0 then log.fault = "the key log holds no line of MAST_PACKET_KEYS" end
    return log
end

-- Another recording begins. By connection ID: the largest number and the key phase so far. By packet: what opened it, for
-- later passes.
function KeyLog:forget() self.progress, self.opened = {}, {} end

-- The initialization vector XOR (path, 32 bits, and number, 64). Without an extension there is no path but 0.
local function nonce(iv, number)
    local bytes = {}
    for i = 12, 1, -1 do
        bytes[i] = string.char(xor(iv[i], number % 256))
        number = math.floor(number / 256)
    end
    return table.concat(bytes)
end

-- RFC 9000 appendix A.3 for 32 bits; a first number is below 2^29, whatever it is.
local function widen(low, largest)
    if largest == nil then return low end
    local expected = largest + 1
    local candidate = expected - expected % 2 ^ 32 + low
    if candidate + 2 ^ 31 <= expected then return candidate + 2 ^ 32 end
    if candidate > expected + 2 ^ 31 and candidate >= 2 ^ 32 then return candidate - 2 ^ 32 end
    return candidate
end

-- Plaintext, number and key phases of a whole data packet, given as a string; or nil and why not.
function KeyLog:open(packet, frame)
    if self.fault ~= nil then return nil, self.fault end
    local id = packet:sub(2, 9):gsub(".", function(byte) return string.format("%02x", byte:byte()) end)
    local keys = self.keys[id]
    if keys == nil then return nil, "the key log has no keys of this connection" end
    local a, b, c, d = packet:byte(10, 13)
    local phase = packet:byte(1) % 2
    local before = self.opened[frame .. id]
    local state = self.progress[id] or { generation = 0 }
    local number = widen(((a * 256 + b) * 256 + c) * 256 + d, state.largest)
    -- The next, and beyond a line or packets that are missing, those that follow.
    local candidates = { state.generation, state.generation + 1, state.generation - 1 }
    for ahead = 2, 64 do candidates[#candidates + 1] = state.generation + ahead end
    if before ~= nil then
        candidates, number = { before.generation }, before.number
    elseif state.largest == nil then
        -- The recording may begin anywhere.
        candidates = {}
        for generation in pairs(keys) do candidates[#candidates + 1] = generation end
        table.sort(candidates)
    end
    local tried = false
    for _, generation in ipairs(candidates) do
        if generation % 2 == phase and keys[generation] ~= nil then
            tried = true
            local key = keys[generation]
            local plain = key.open(key.key, nonce(key.iv, number), packet:sub(14), packet:sub(1, 13))
            if plain ~= nil then
                if before == nil then
                    self.opened[frame .. id] = { generation = generation, number = number }
                    self.progress[id] = {
                        largest = math.max(state.largest or 0, number), generation = math.max(state.generation, generation),
                    }
                end
                return plain, number, generation
            end
        end
    end
    if tried then return nil, "the keys that the key log has for this connection do not open it" end
    return nil, "the key log has no line for this key phase of the connection"
end

return read
