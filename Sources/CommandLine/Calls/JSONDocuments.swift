import MastRPC

/// Several JSON values one after another, as streams take them: one a line, or run together.
enum JSONDocuments {
    /// Splits text into its top-level values and checks each.
    static func split(_ bytes: [UInt8], source: String) throws(Failure) -> [ByteString] {
        var reader = JSONDocumentReader(source: source)
        var documents = try reader.add(bytes)
        if let last = try reader.finish() { documents.append(last) }
        return documents
    }
}

/// The values that standard input holds, each as soon as it is whole; read no sooner than they are asked for.
struct StandardDocuments: AsyncSequence, Sendable {
    typealias Element = ByteString

    let input: StandardInput

    struct Iterator: AsyncIteratorProtocol {
        let input: StandardInput
        var reader = JSONDocumentReader(source: "standard input")
        /// Whole, and not asked for yet: of one piece, in reverse.
        var ready: [ByteString] = []
        var isOver = false

        mutating func next() async throws -> ByteString? {
            while ready.isEmpty, !isOver {
                if let piece = try await input.next() {
                    ready = try reader.add(piece).reversed()
                } else {
                    isOver = true
                    if let last = try reader.finish() { ready = [last] }
                }
            }
            return ready.popLast()
        }
    }

    func makeAsyncIterator() -> Iterator { Iterator(input: input) }
}
