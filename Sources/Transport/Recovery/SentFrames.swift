/// What one packet carried, in order. Nearly all packets carry an acknowledgement and a piece of a stream at most: two have
/// their place here, and only more take memory of their own.
package struct SentFrames: Sendable, RandomAccessCollection {
    private var first: SentFrame?
    private var second: SentFrame?
    private var others: [SentFrame] = []

    package init() {}

    package var startIndex: Int { 0 }
    package var endIndex: Int { first == nil ? 0 : second == nil ? 1 : 2 + others.count }

    package mutating func append(_ frame: SentFrame) {
        if first == nil {
            first = frame
        } else if second == nil {
            second = frame
        } else {
            others.append(frame)
        }
    }

    package subscript(index: Int) -> SentFrame {
        switch (index, first, second) {
        case (0, .some(let frame), _), (1, _, .some(let frame)): frame
        default: others[index - 2]
        }
    }
}

extension SentFrames: ExpressibleByArrayLiteral {
    package init(arrayLiteral elements: SentFrame...) { for frame in elements { append(frame) } }
}
