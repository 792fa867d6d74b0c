-- AES-128-GCM and AES-256-GCM (FIPS 197, NIST SP 800-38D) for mast.lua, since Lua in Wireshark offers no cipher that every
-- version in use has. It opens what was recorded, a packet in some milliseconds; it is no library for anything that sends.

local bits = bit32 or bit
local band, bor, bxor, lshift, rshift = bits.band, bits.bor, bits.bxor, bits.lshift, bits.rshift

local function xtime(x)
    x = x * 2
    if x > 255 then x = bxor(x - 256, 0x1B) end
    return x
end

-- The S-box, from inverses by powers of the generator 3 (FIPS 197 section 5.1.1), and the tables of a round's columns.
local sbox, columns = {}, { {}, {}, {}, {} }
do
    local power, logarithm = {}, {}
    local x = 1
    for i = 0, 254 do
        power[i], logarithm[x] = x, i
        x = bxor(x, xtime(x))
    end
    for value = 0, 255 do
        local inverse = value == 0 and 0 or power[(255 - logarithm[value]) % 255]
        local s = 0
        for bit = 0, 7 do
            local sum = rshift(0x63, bit)
            for _, other in ipairs({ 0, 4, 5, 6, 7 }) do sum = bxor(sum, rshift(inverse, (bit + other) % 8)) end
            s = s + band(sum, 1) * 2 ^ bit
        end
        sbox[value] = s
        local two = xtime(s)
        local three = bxor(two, s)
        local column = { two, s, s, three }
        for t = 1, 4 do
            columns[t][value] = bor(lshift(column[1], 24), lshift(column[2], 16), lshift(column[3], 8), column[4])
            table.insert(column, 1, table.remove(column))
        end
    end
end
local T1, T2, T3, T4 = columns[1], columns[2], columns[3], columns[4]

local function word(bytes, at)
    local a, b, c, d = bytes:byte(at, at + 3)
    return bor(lshift(a, 24), lshift(b, 16), lshift(c, 8), d)
end

local function substitute(w)
    return bor(
        lshift(sbox[rshift(w, 24)], 24), lshift(sbox[band(rshift(w, 16), 255)], 16), lshift(sbox[band(rshift(w, 8), 255)], 8),
        sbox[band(w, 255)])
end

-- Four words for each round and four before the first: 44 for a key of 16 bytes, 60 for one of 32.
local function expand(key)
    local length = #key / 4
    local w = { last = 4 * (length + 6) }
    for i = 0, length - 1 do w[i] = word(key, i * 4 + 1) end
    local round = 1
    for i = length, w.last + 3 do
        local t = w[i - 1]
        if i % length == 0 then
            t = bxor(substitute(bor(lshift(t, 8), rshift(t, 24))), lshift(round, 24))
            round = xtime(round)
        elseif length > 6 and i % length == 4 then
            t = substitute(t)
        end
        w[i] = bxor(w[i - length], t)
    end
    return w
end

local function encrypt(w, a, b, c, d)
    a, b, c, d = bxor(a, w[0]), bxor(b, w[1]), bxor(c, w[2]), bxor(d, w[3])
    for r = 4, w.last - 4, 4 do
        local e = bxor(T1[rshift(a, 24)], T2[band(rshift(b, 16), 255)], T3[band(rshift(c, 8), 255)], T4[band(d, 255)], w[r])
        local f = bxor(T1[rshift(b, 24)], T2[band(rshift(c, 16), 255)], T3[band(rshift(d, 8), 255)], T4[band(a, 255)], w[r + 1])
        local g = bxor(T1[rshift(c, 24)], T2[band(rshift(d, 16), 255)], T3[band(rshift(a, 8), 255)], T4[band(b, 255)], w[r + 2])
        d = bxor(T1[rshift(d, 24)], T2[band(rshift(a, 16), 255)], T3[band(rshift(b, 8), 255)], T4[band(c, 255)], w[r + 3])
        a, b, c = e, f, g
    end
    local function last(p, q, s, t, key)
        return bxor(
            bor(lshift(sbox[rshift(p, 24)], 24), lshift(sbox[band(rshift(q, 16), 255)], 16), lshift(sbox[band(rshift(s, 8), 255)], 8),
                sbox[band(t, 255)]), key)
    end
    local r = w.last
    return last(a, b, c, d, w[r]), last(b, c, d, a, w[r + 1]), last(c, d, a, b, w[r + 2]), last(d, a, b, c, w[r + 3])
end

-- One bit to the right is a multiplication by x; what falls out comes back as the field's polynomial.
local function halve(a, b, c, d)
    local out = band(d, 1)
    a, b, c, d = rshift(a, 1), bor(rshift(b, 1), lshift(a, 31)), bor(rshift(c, 1), lshift(b, 31)), bor(rshift(d, 1), lshift(c, 31))
    if out == 1 then a = bxor(a, 0xE1000000) end
    return a, b, c, d
end

local reduce = {}
for nibble = 0, 15 do
    local a, b, c, d = 0, 0, 0, nibble
    for _ = 1, 4 do a, b, c, d = halve(a, b, c, d) end
    reduce[nibble] = a
end

-- Multiples of the hash key by all nibbles (Shoup's method).
local function multiples(a, b, c, d)
    local m = { [0] = { 0, 0, 0, 0 } }
    local at = 8
    m[8] = { a, b, c, d }
    while at > 1 do
        at = at / 2
        m[at] = { halve(m[at * 2][1], m[at * 2][2], m[at * 2][3], m[at * 2][4]) }
    end
    for _, high in ipairs({ 2, 4, 8 }) do
        for low = 1, high - 1 do
            local x, y = m[high], m[low]
            m[high + low] = { bxor(x[1], y[1]), bxor(x[2], y[2]), bxor(x[3], y[3]), bxor(x[4], y[4]) }
        end
    end
    return m
end

local function multiply(m, x)
    local a, b, c, d = 0, 0, 0, 0
    for i = 4, 1, -1 do
        for shift = 0, 28, 4 do
            local out = band(d, 15)
            a, b, c, d = rshift(a, 4), bor(rshift(b, 4), lshift(a, 28)), bor(rshift(c, 4), lshift(b, 28)), bor(rshift(d, 4), lshift(c, 28))
            local y = m[band(rshift(x[i], shift), 15)]
            a, b, c, d = bxor(a, reduce[out], y[1]), bxor(b, y[2]), bxor(c, y[3]), bxor(d, y[4])
        end
    end
    x[1], x[2], x[3], x[4] = a, b, c, d
end

local function absorb(m, x, bytes)
    for at = 1, #bytes, 16 do
        local block = bytes:sub(at, at + 15)
        block = block .. string.rep("\0", 16 - #block)
        for i = 1, 4 do x[i] = bxor(x[i], word(block, i * 4 - 3)) end
        multiply(m, x)
    end
end

local function text(w) return string.char(rshift(w, 24), band(rshift(w, 16), 255), band(rshift(w, 8), 255), band(w, 255)) end

local schedules = {}

-- Strings of bytes: a key of 16 or 32, a nonce of 12, ciphertext with its tag of 16 behind it, and the authenticated header.
-- The plaintext, or nil when the tag is another's.
return function(key, nonce, sealed, header)
    local schedule = schedules[key]
    if schedule == nil then
        local w = expand(key)
        schedule = { w = w, m = multiples(encrypt(w, 0, 0, 0, 0)) }
        schedules[key] = schedule
    end
    local length = #sealed - 16
    if length < 0 then return nil end
    local ciphertext, tag = sealed:sub(1, length), sealed:sub(length + 1)
    local n1, n2, n3 = word(nonce, 1), word(nonce, 5), word(nonce, 9)

    local x = { 0, 0, 0, 0 }
    absorb(schedule.m, x, header)
    absorb(schedule.m, x, ciphertext)
    x[2], x[4] = bxor(x[2], #header * 8), bxor(x[4], length * 8)
    multiply(schedule.m, x)
    local a, b, c, d = encrypt(schedule.w, n1, n2, n3, 1)
    if text(bxor(x[1], a)) .. text(bxor(x[2], b)) .. text(bxor(x[3], c)) .. text(bxor(x[4], d)) ~= tag then return nil end

    local plain = {}
    for at = 1, length, 16 do
        a, b, c, d = encrypt(schedule.w, n1, n2, n3, 2 + (at - 1) / 16)
        local block = ciphertext:sub(at, at + 15)
        local padded = block .. string.rep("\0", 16 - #block)
        local out = text(bxor(word(padded, 1), a)) .. text(bxor(word(padded, 5), b)) .. text(bxor(word(padded, 9), c))
            .. text(bxor(word(padded, 13), d))
        plain[#plain + 1] = out:sub(1, #block)
    end
    return table.concat(plain)
end
