import Collections

/// First in, first out, for what is mostly one at a time: the first needs no memory of its own.
struct ShortQueue<Element> {
    private var head: Element?
    /// Empty unless there is a head.
    private var rest: Deque<Element> = []

    init() {}

    var first: Element? { head }
    var isEmpty: Bool { head == nil }

    mutating func append(_ element: Element) {
        if head == nil { head = element } else { rest.append(element) }
    }

    /// There must be one.
    mutating func replaceFirst(_ element: Element) { head = element }

    mutating func popFirst() -> Element? {
        guard let first = head else { return nil }
        head = rest.popFirst()
        return first
    }
}

extension ShortQueue: Sendable where Element: Sendable {}

/// One message, encoded.
typealias MessageBytes = ArraySlice<UInt8>
