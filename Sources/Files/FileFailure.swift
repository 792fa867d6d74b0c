import Foundation

/// Why a file could not be used, in one line that also says what to do next.
package struct FileFailure: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable, Hashable {
        /// What was asked for contradicts itself.
        case usage
        /// It was read, and is not what it should be.
        case badData
        /// It cannot be opened or read.
        case noInput
        /// The system refuses: a place to write to, an address, a socket.
        case unavailable
    }

    package var kind: Kind
    package var description: String

    package init(_ kind: Kind, _ description: String) { (self.kind, self.description) = (kind, description) }

    /// What is wrong with a JSON document, and where.
    package static func explain(_ error: DecodingError) -> String {
        func at(_ context: DecodingError.Context, _ words: String? = nil) -> String {
            let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
            let underlying = (context.underlyingError as NSError?)?.userInfo[NSDebugDescriptionErrorKey] as? String
            return (path.isEmpty ? "" : path + ": ") + (words ?? underlying ?? context.debugDescription)
        }
        switch error {
        case .keyNotFound(let key, _): return "missing \(key.stringValue)"
        case .typeMismatch(let type, let context), .valueNotFound(let type, let context): return at(context, "\(form(of: type)) is expected")
        case .dataCorrupted(let context): return at(context)
        @unknown default: return "\(error)"
        }
    }

    /// What a type is called in JSON.
    private static func form(of type: any Any.Type) -> String {
        switch type {
        case is String.Type: "a text"
        case is Bool.Type: "true or false"
        case is any (BinaryInteger & Decodable).Type: "a whole number"
        case is any (BinaryFloatingPoint & Decodable).Type: "a number"
        case is any Sequence.Type: type is [String: Any].Type ? "an object" : "a list"
        default: "an object"
        }
    }
}
