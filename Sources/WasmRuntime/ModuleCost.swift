/// What compiling a module will take, read from the lengths in it before the compiler sees it.
///
/// Measured with Cranelift at its default level on one thread, over eight kinds of generated code (arithmetic, many
/// locals, calls, branches, floats, tables, memory) with functions of 1 to 500 KB in modules of 0.01 to 4 MB. Memory goes
/// with the largest function, since registers are allocated for one whole function: at most 1,170 bytes of address space
/// for each of its bytes, and 25 for each byte of all. Time goes with the code, from 1.5 µs a byte for small functions to
/// 5.8 µs where one has 500 KB. Code made against the compiler, with hundreds of values alive at once, takes a hundred
/// times as long, which no length shows: there the limits end it.
package struct ModuleCost: Sendable, Hashable {
    /// Functions with a body.
    package var functions = 0
    /// The longest body, in bytes.
    package var largestFunctionBytes = 0
    /// All bodies, in bytes.
    package var codeBytes = 0

    /// A larger function is refused everywhere.
    package static let maximumFunctionBytes = 512 << 10
    private static let memoryOfFunctionByte = 1_200
    private static let memoryOfCodeByte = 25

    /// Memory that ordinary code of these lengths takes at most, in bytes.
    package var memoryBytes: Int { largestFunctionBytes * Self.memoryOfFunctionByte + codeBytes * Self.memoryOfCodeByte }

    /// Time of a processor that ordinary code of these lengths takes at most, in seconds.
    package var processorSeconds: Double {
        Double(codeBytes) * (2.5 + 4 * Double(largestFunctionBytes) / Double(Self.maximumFunctionBytes)) / 1_000_000
    }

    /// Refuses what would bury the compiler.
    package func check(within limits: CompilationLimits) throws(EngineError) {
        guard largestFunctionBytes <= Self.maximumFunctionBytes else {
            throw EngineError(
                .moduleTooLarge,
                "a function of the module has \(largestFunctionBytes) bytes; the limit is \(Self.maximumFunctionBytes), divide it")
        }
        guard memoryBytes <= limits.memoryBytes else {
            throw EngineError(
                limits.excess,
                "this module may need \(memoryBytes >> 20) MB to compile, most of it for a function of \(largestFunctionBytes) bytes; "
                    + "the limit is \(limits.memoryBytes >> 20) MB, divide the function")
        }
    }

    /// A line for whoever releases the module, when each node will have a hard time with it; nil when not.
    package var warning: String? {
        guard processorSeconds >= 5 || memoryBytes >= CompilationLimits.standard.memoryBytes / 4 else { return nil }
        let seconds = Int(processorSeconds.rounded(.up))
        return "compiling it takes each node about \(seconds) s and \(memoryBytes >> 20) MB; its largest function has \(largestFunctionBytes) bytes"
    }

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
                    codeBytes += length
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
