/// What compiling a module will take, read from the lengths in it before the compiler sees it.
///
/// Measured with Cranelift at its default level: a second for each megabyte of ordinary functions, and memory by the
/// largest function, since registers are allocated for one whole function: 200 to 600 bytes for each of its bytes,
/// and time that grows faster than its length. So the length of a function is what needs a bound of its own.
package struct ModuleCost: Sendable, Hashable {
    /// Functions with a body.
    package var functions = 0
    /// The longest body, in bytes.
    package var largestFunctionBytes = 0

    /// A larger function is refused: its compilation would need some 300 MB and more.
    package static let maximumFunctionBytes = 512 << 10

    /// Of bytes that need not be a module: what cannot be read counts as nothing, and the compiler says why.
    package init(_ module: [UInt8]) {
        // Magic and version.
        var position = 8
        while let id = module.at(position), let length = Self.number(module, after: &position) {
            let end = position + length
            guard end <= module.count else { return }
            // The code section: a count, then each body behind its length.
            if id == 10, let count = Self.number(module, at: &position) {
                for _ in 0..<count {
                    guard let length = Self.number(module, at: &position), length <= end - position else { return }
                    functions += 1
                    largestFunctionBytes = max(largestFunctionBytes, length)
                    position += length
                }
            }
            position = end
        }
    }

    private static func number(_ module: [UInt8], after position: inout Int) -> Int? {
        position += 1
        return number(module, at: &position)
    }

    /// Unsigned, of at most 32 bits, seven to a byte.
    private static func number(_ module: [UInt8], at position: inout Int) -> Int? {
        var value = 0
        for shift in stride(from: 0, to: 35, by: 7) {
            guard let byte = module.at(position) else { return nil }
            position += 1
            value |= Int(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }
}

extension [UInt8] {
    fileprivate func at(_ position: Int) -> UInt8? { position < count ? self[position] : nil }
}
