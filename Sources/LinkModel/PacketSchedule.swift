import MastTimebase

/// Packets as lines of `timeS,bytes`: when each is offered to a link, in seconds, and its size in bytes.
///
/// Times are decimal numbers and never go backwards; they are read exactly, to the nearest nanosecond, and not
/// through floating point. A first line that does not begin with a digit is a header.
package struct PacketSchedule: Sendable {
    package struct Line: Hashable, Sendable {
        package var at: Instant
        package var bytes: Int
        package init(at: Instant, bytes: Int) { (self.at, self.bytes) = (at, bytes) }
    }

    private var number = 0
    private var last = Instant.zero

    package init() {}

    /// The packet of the next line (without its newline); nil for a header or an empty line.
    package mutating func parse(_ line: some BidirectionalCollection<UInt8>) throws(PacketScheduleError) -> Line? {
        number += 1
        var text = line[...]
        while let byte = text.last, byte == 0x0D || byte == 0x20 { text = text.dropLast() }
        while text.first == 0x20 { text = text.dropFirst() }
        guard let first = text.first else { return nil }
        if number == 1, !(0x30...0x39).contains(first) { return nil }
        guard let comma = text.firstIndex(of: 0x2C), let at = Self.nanoseconds(text[..<comma]) else {
            throw PacketScheduleError(line: number, reason: "expected seconds and bytes, such as 0.001250,1500")
        }
        var bytes = 0
        var size = text[text.index(after: comma)...]
        while size.first == 0x20 { size = size.dropFirst() }
        guard !size.isEmpty, size.count <= 9 else {
            throw PacketScheduleError(line: number, reason: "the size is not a whole number of bytes")
        }
        for byte in size {
            guard (0x30...0x39).contains(byte) else {
                throw PacketScheduleError(line: number, reason: "the size is not a whole number of bytes")
            }
            bytes = bytes * 10 + Int(byte - 0x30)
        }
        guard LinkPacket.sizes.contains(bytes) else {
            throw PacketScheduleError(
                line: number,
                reason: "a packet has \(LinkPacket.sizes.lowerBound) to \(LinkPacket.sizes.upperBound) bytes")
        }
        let time = Instant(nanoseconds: at)
        guard time >= last else { throw PacketScheduleError(line: number, reason: "time goes backwards; sort the lines") }
        last = time
        return Line(at: time, bytes: bytes)
    }

    /// A decimal number, also with an exponent, in seconds; rounded to the nearest nanosecond.
    private static func nanoseconds(_ text: some Collection<UInt8>) -> Int64? {
        var digits: Int128 = 0
        var count = 0
        // The number is digits × 10^power nanoseconds.
        var power = 9
        var point = false
        var rest = text[...]
        while let byte = rest.first {
            if byte == 0x2E, !point, count > 0 {
                point = true
            } else if (0x30...0x39).contains(byte) {
                count += 1
                if digits < 1_000_000_000_000_000_000_000_000_000 {
                    digits = digits * 10 + Int128(byte - 0x30)
                    if point { power -= 1 }
                } else if !point {
                    return nil
                }
            } else {
                break
            }
            rest = rest.dropFirst()
        }
        guard count > 0 else { return nil }
        if let letter = rest.first {
            guard letter == 0x65 || letter == 0x45, let exponent = exponent(rest.dropFirst()) else { return nil }
            power += exponent
        }
        while power > 0, digits < longest { (digits, power) = (digits * 10, power - 1) }
        guard power <= 0 else { return nil }
        var divisor: Int128 = 1
        while power < 0, divisor < longest * 1_000_000_000_000 { (divisor, power) = (divisor * 10, power + 1) }
        let rounded = power < 0 ? 0 : (digits + divisor / 2) / divisor
        return rounded < longest ? Int64(rounded) : nil
    }

    private static func exponent(_ text: some Collection<UInt8>) -> Int? {
        var rest = text[...]
        var negative = false
        if let sign = rest.first, sign == 0x2B || sign == 0x2D { (negative, rest) = (sign == 0x2D, rest.dropFirst()) }
        guard !rest.isEmpty, rest.count <= 3 else { return nil }
        var value = 0
        for byte in rest {
            guard (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        return negative ? -value : value
    }

    /// A bound above every time that is accepted: a century, in nanoseconds.
    private static let longest: Int128 = 3_153_600_000_000_000_000
}

/// Why a schedule was refused.
package struct PacketScheduleError: Error, Hashable, Sendable, CustomStringConvertible {
    package var line: Int
    package var reason: String
    package var description: String { "line \(line): \(reason)" }
}
