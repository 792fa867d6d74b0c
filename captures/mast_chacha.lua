-- ChaCha20-Poly1305 (RFC 8439) for mast.lua, as mast_gcm.lua is AES-GCM. It opens what was recorded; it is no library for
-- anything that sends.

local bits = bit32 or bit
local band, bxor, rshift = bits.band, bits.bxor, bits.rshift
local rotate = bits.lrotate or bits.rol
local floor = math.floor

local function word(bytes, at)
    local a, b, c, d = bytes:byte(at, at + 3)
    return ((d * 256 + c) * 256 + b) * 256 + a
end

local function text(w) return string.char(band(w, 255), band(rshift(w, 8), 255), band(rshift(w, 16), 255), rshift(w, 24)) end

-- Section 2.1. Sums are not cut to 32 bits here: the operations on bits do that, and those of twenty rounds are exact numbers.
local function quarter(s, a, b, c, d)
    s[a] = s[a] + s[b]
    s[d] = rotate(bxor(s[d], s[a]), 16)
    s[c] = s[c] + s[d]
    s[b] = rotate(bxor(s[b], s[c]), 12)
    s[a] = s[a] + s[b]
    s[d] = rotate(bxor(s[d], s[a]), 8)
    s[c] = s[c] + s[d]
    s[b] = rotate(bxor(s[b], s[c]), 7)
end

-- Section 2.3: sixteen words of key stream.
local function block(key, nonce, counter)
    local initial = { 0x61707865, 0x3320646E, 0x79622D32, 0x6B206574 }
    for i = 0, 7 do initial[5 + i] = word(key, i * 4 + 1) end
    initial[13] = counter
    for i = 0, 2 do initial[14 + i] = word(nonce, i * 4 + 1) end
    local s = {}
    for i = 1, 16 do s[i] = initial[i] end
    for _ = 1, 10 do
        for i = 1, 4 do quarter(s, i, i + 4, i + 8, i + 12) end
        for i = 0, 3 do quarter(s, 1 + i, 5 + (i + 1) % 4, 9 + (i + 2) % 4, 13 + (i + 3) % 4) end
    end
    for i = 1, 16 do s[i] = band(s[i] + initial[i], 0xFFFFFFFF) end
    return s
end

-- Poly1305 (section 2.5) counts in nine limbs of 16 bits, of which the last has two: 2^130 is 5 then, and 2^144 is 5 * 2^14.
local function carry(h)
    for _ = 1, 2 do
        local over = 0
        for i = 0, 7 do
            over = over + h[i]
            h[i] = over % 65536
            over = floor(over / 65536)
        end
        over = over + h[8]
        h[8] = over % 4
        h[0] = h[0] + 5 * floor(over / 4)
    end
end

-- Of the limbs that are multiplied one has at most 17 bits and the other 16, and at most seven products wrap: below 2^53, what a
-- number holds exactly.
local function multiply(h, r)
    local product = {}
    for i = 0, 8 do
        local sum, wrapped = 0, 0
        for j = 0, i do sum = sum + h[j] * r[i - j] end
        for j = i + 1, 8 do wrapped = wrapped + h[j] * r[i + 9 - j] end
        product[i] = sum + wrapped * 81920
    end
    carry(product)
    return product
end

-- The tag of `message`, whose length is a multiple of 16 here, under 32 bytes of key.
local function authenticate(key, message)
    local r, h = { [8] = 0 }, {}
    local clamp = { [0] = 0xFFFF, 0x0FFF, 0xFFFC, 0x0FFF, 0xFFFC, 0x0FFF, 0xFFFC, 0x0FFF }
    for i = 0, 7 do
        local low, high = key:byte(i * 2 + 1, i * 2 + 2)
        r[i] = band(high * 256 + low, clamp[i])
        h[i] = 0
    end
    h[8] = 0
    for at = 1, #message, 16 do
        for i = 0, 7 do
            local low, high = message:byte(at + i * 2, at + i * 2 + 1)
            h[i] = h[i] + high * 256 + low
        end
        h[8] = h[8] + 1
        h = multiply(h, r)
    end
    carry(h)
    -- The remainder by 2^130 - 5: what is not below it has 2^130 in it with 5 added.
    local reduced = {}
    for i = 0, 8 do reduced[i] = h[i] end
    local over = 5
    for i = 0, 7 do
        over = over + h[i]
        reduced[i] = over % 65536
        over = floor(over / 65536)
    end
    if h[8] + over >= 4 then h = reduced end
    local tag = {}
    over = 0
    for i = 0, 7 do
        local low, high = key:byte(17 + i * 2, 18 + i * 2)
        over = over + h[i] + high * 256 + low
        tag[i + 1] = string.char(over % 256, floor(over / 256) % 256)
        over = floor(over / 65536)
    end
    return table.concat(tag)
end

local function padded(bytes) return bytes .. string.rep("\0", -#bytes % 16) end

-- Section 2.8. Strings of bytes: a key of 32, a nonce of 12, ciphertext with its tag of 16 behind it, and the authenticated
-- header. The plaintext, or nil when the tag is another's.
return function(key, nonce, sealed, header)
    local length = #sealed - 16
    if length < 0 then return nil end
    local ciphertext, tag = sealed:sub(1, length), sealed:sub(length + 1)
    local once = {}
    for i, w in ipairs(block(key, nonce, 0)) do once[i] = text(w) end
    local lengths = text(#header) .. text(0) .. text(length) .. text(0)
    if authenticate(table.concat(once), padded(header) .. padded(ciphertext) .. lengths) ~= tag then return nil end

    local plain = {}
    local blocks = padded(ciphertext)
    local stream
    for at = 1, length, 4 do
        local i = (at - 1) / 4 % 16
        if i == 0 then stream = block(key, nonce, 1 + (at - 1) / 64) end
        plain[#plain + 1] = text(bxor(word(blocks, at), stream[i + 1]))
    end
    return table.concat(plain):sub(1, length)
end
