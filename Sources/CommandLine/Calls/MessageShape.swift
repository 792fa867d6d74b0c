import Foundation

/// The shape of a message, as a server's template shows it: which fields an object has, one element for any list.
struct MessageShape: Sendable {
    private indirect enum Node: Sendable {
        case object([String: Node])  // lookup only
        case list(Node)
        /// A value, or what the template does not show.
        case any
    }

    private let root: Node

    init?(_ template: String) {
        guard let value = try? JSONSerialization.jsonObject(with: Data(template.utf8), options: .fragmentsAllowed) else { return nil }
        root = Self.node(value)
    }

    private static func node(_ value: Any) -> Node {
        switch value {
        case let members as [String: Any]:
            // Of a dictionary a template shows the one name "name".
            if members.count == 1, members["name"] != nil { return .any }
            return .object(members.mapValues(node))
        case let elements as [Any]: return elements.first.map { .list(node($0)) } ?? .any
        default: return .any
        }
    }

    struct Unknown {
        /// Such as `query.limt`.
        var path: String
        /// What stands beside it in the template, in order.
        var known: [String]
        /// The one that was meant, if one is near.
        var suggestion: String?
    }

    /// The first field of a JSON document that the shape does not have; nil also for what is no JSON.
    func firstUnknown(in document: [UInt8]) -> Unknown? {
        guard let value = try? JSONSerialization.jsonObject(with: Data(document), options: .fragmentsAllowed) else { return nil }
        return Self.firstUnknown(value, root, path: "")
    }

    private static func firstUnknown(_ value: Any, _ node: Node, path: String) -> Unknown? {
        switch (value, node) {
        case (let members as [String: Any], .object(let known)):
            for name in members.keys.sorted() {
                let inner = path.isEmpty ? name : path + "." + name
                guard let node = known[name] else {
                    return Unknown(path: inner, known: known.keys.sorted(), suggestion: Suggestion.nearest(to: name, among: known.keys.sorted()))
                }
                if let unknown = members[name].flatMap({ firstUnknown($0, node, path: inner) }) { return unknown }
            }
            return nil
        case (let elements as [Any], .list(let node)):
            for (index, element) in elements.enumerated() {
                if let unknown = firstUnknown(element, node, path: "\(path)[\(index)]") { return unknown }
            }
            return nil
        default: return nil
        }
    }

    /// The document with null for each field that it leaves out; nil if it is no JSON.
    func completed(_ document: [UInt8]) -> String? {
        guard let value = try? JSONSerialization.jsonObject(with: Data(document), options: .fragmentsAllowed) else { return nil }
        let whole = Self.completed(value, root)
        guard let data = try? JSONSerialization.data(withJSONObject: whole, options: [.sortedKeys, .withoutEscapingSlashes, .fragmentsAllowed]) else { return nil }
        return String(decoding: data, as: UTF8.self)
    }

    private static func completed(_ value: Any, _ node: Node) -> Any {
        switch (value, node) {
        case (var members as [String: Any], .object(let known)):
            for (name, node) in known { members[name] = members[name].map { completed($0, node) } ?? NSNull() }
            return members
        case (let elements as [Any], .list(let node)): return elements.map { completed($0, node) }
        default: return value
        }
    }
}
