// The calling convention, for applications in Embedded Swift: a function from bytes to bytes, or an error with a text.

struct Failure: Error {
    var message: [UInt8]
    init(_ message: StaticString) {
        self.message = Array(UnsafeBufferPointer(start: message.utf8Start, count: message.utf8CodeUnitCount))
    }
    init(_ message: StaticString, line: Int) {
        self.init("line ")
        self.message.appendDecimal(line)
        self.message.append(message)
    }
}

/// The answer's bytes stay in memory until the run is over.
func answer(
    _ address: UInt32, _ length: UInt32, _ body: (UnsafeBufferPointer<UInt8>) throws(Failure) -> [UInt8]
) -> Int64 {
    let input = UnsafeBufferPointer(start: UnsafePointer<UInt8>(bitPattern: UInt(address)), count: Int(length))
    do throws(Failure) {
        return place(try body(input))
    } catch {
        return place(error.message) | Int64.min
    }
}

private func place(_ bytes: [UInt8]) -> Int64 {
    let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(bytes.count, 1))
    _ = copy.initialize(from: bytes)
    return Int64(Int(bitPattern: copy.baseAddress)) << 32 | Int64(bytes.count)
}

extension Array where Element == UInt8 {
    mutating func append(_ text: StaticString) {
        append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func appendDecimal(_ value: some BinaryInteger) {
        var digits: [UInt8] = []
        var rest = UInt64(value.magnitude)
        repeat {
            digits.append(48 + UInt8(rest % 10))
            rest /= 10
        } while rest > 0
        if value < 0 { append(45) }
        append(contentsOf: digits.reversed())
    }
}

/// The next line of `text` from `start`, without its line ending; moves `start` past it. Nil at the end.
func nextLine(_ text: UnsafeBufferPointer<UInt8>, _ start: inout Int) -> Range<Int>? {
    guard start < text.count else { return nil }
    var end = start
    while end < text.count, text[end] != 10 { end += 1 }
    let line = start..<(end > start && text[end - 1] == 13 ? end - 1 : end)
    start = end + 1
    return line
}
