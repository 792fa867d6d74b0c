/// Short text pairs that travel beside a call's messages, in order; names are lower-cased.
///
/// At most 16 KiB once encoded (`EnvelopeLimits.metadataBytes`); larger is refused before anything is sent.
public struct Metadata: Sendable, Hashable, ExpressibleByDictionaryLiteral, Sequence {
    public struct Pair: Sendable, Hashable {
        public var name: String
        public var value: String
    }

    public private(set) var pairs: [Pair] = []

    public init() {}
    public init(dictionaryLiteral elements: (String, String)...) {
        for (name, value) in elements { add(name, value) }
    }

    /// The first value under that name; setting replaces all of them, nil removes them.
    public subscript(name: String) -> String? {
        get {
            let name = name.lowercased()
            return pairs.first { $0.name == name }?.value
        }
        set {
            let name = name.lowercased()
            pairs.removeAll { $0.name == name }
            if let newValue { pairs.append(Pair(name: name, value: newValue)) }
        }
    }

    public mutating func add(_ name: String, _ value: String) {
        pairs.append(Pair(name: name.lowercased(), value: value))
    }

    public var isEmpty: Bool { pairs.isEmpty }
    public func makeIterator() -> IndexingIterator<[Pair]> { pairs.makeIterator() }
}
