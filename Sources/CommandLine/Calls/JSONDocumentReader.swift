import Foundation
import MastFiles
import MastRPC

/// Finds the top-level JSON values in bytes that come piece by piece, and checks each.
struct JSONDocumentReader {
    /// Where the bytes come from, for errors.
    let source: String
    private var value: [UInt8] = []
    private var depth = 0
    private var isInText = false
    private var isEscaped = false
    private var count = 0

    init(source: String) { self.source = source }

    /// The values that end in `bytes`.
    mutating func add(_ bytes: [UInt8]) throws(Failure) -> [ByteString] {
        var documents: [ByteString] = []
        for byte in bytes {
            if value.isEmpty, Self.isBlank(byte) || count == 0 && Self.byteOrderMark.contains(byte) { continue }
            if !isInText, depth == 0, !value.isEmpty, Self.isBlank(byte) {
                documents.append(try take())
                continue
            }
            value.append(byte)
            guard value.count <= InputFile.limit else {
                throw Failure(.badData, "\(source) (document \(count + 1)) is larger than \(InputFile.limit >> 20) MiB, which is more than this command takes")
            }
            if ends(with: byte) { documents.append(try take()) }
        }
        return documents
    }

    /// What the end of the bytes ended.
    mutating func finish() throws(Failure) -> ByteString? { value.isEmpty ? nil : try take() }

    /// Whether the value is over with this byte; whether it is well-formed is the parser's business.
    private mutating func ends(with byte: UInt8) -> Bool {
        if isInText {
            if isEscaped { isEscaped = false } else if byte == UInt8(ascii: "\\") { isEscaped = true } else { isInText = byte != UInt8(ascii: "\"") }
            return !isInText && depth == 0
        }
        switch byte {
        case UInt8(ascii: "\""): isInText = true
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            depth = max(0, depth - 1)
            return depth == 0
        default: break
        }
        return false
    }

    private mutating func take() throws(Failure) -> ByteString {
        let document = value
        value = []
        (depth, isInText, isEscaped) = (0, false, false)
        do {
            _ = try JSONSerialization.jsonObject(with: Data(document), options: .fragmentsAllowed)
        } catch {
            let reason = (error as NSError).userInfo[NSDebugDescriptionErrorKey] as? String ?? "it does not parse"
            let number = count == 0 ? "" : " (document \(count + 1))"
            throw Failure(.badData, "\(source)\(number) is not JSON: \(reason)")
        }
        count += 1
        return ByteString(document)
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }

    /// Some editors write it before the first value.
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
}
