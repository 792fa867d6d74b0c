/// A list that mostly has one element, which takes no memory of its own.
package struct ShortArray<Element>: RandomAccessCollection {
    private var head: Element?
    /// Empty unless there is a head.
    private var tail: [Element] = []

    package init() {}
    package init(_ elements: some Sequence<Element>) { for element in elements { append(element) } }

    package var startIndex: Int { 0 }
    package var endIndex: Int { head == nil ? 0 : 1 + tail.count }
    package var first: Element? { head }

    package subscript(index: Int) -> Element {
        if index == 0, let head { return head }
        return tail[index - 1]
    }

    package mutating func append(_ element: Element) {
        if head == nil { head = element } else { tail.append(element) }
    }
}

extension ShortArray: ExpressibleByArrayLiteral {
    package init(arrayLiteral elements: Element...) { self.init(elements) }
}
extension ShortArray: Equatable where Element: Equatable {}
extension ShortArray: Sendable where Element: Sendable {}
