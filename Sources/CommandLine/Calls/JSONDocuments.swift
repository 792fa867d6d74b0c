import Foundation
import MastRPC

/// Several JSON values one after another, as streams take them: one a line, or run together.
enum JSONDocuments {
    /// Splits text into its top-level values and checks each.
    static func split(_ bytes: [UInt8], source: String) throws(Failure) -> [ByteString] {
        var documents: [ByteString] = []
        var index = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        while true {
            while index < bytes.count, isBlank(bytes[index]) { index += 1 }
            guard index < bytes.count else { return documents }
            let end = endOfValue(bytes, from: index)
            let value = Array(bytes[index..<end])
            do {
                _ = try JSONSerialization.jsonObject(with: Data(value), options: .fragmentsAllowed)
            } catch {
                let reason = (error as NSError).userInfo[NSDebugDescriptionErrorKey] as? String ?? "it does not parse"
                let number = documents.isEmpty ? "" : " (document \(documents.count + 1))"
                throw Failure(.badData, "\(source)\(number) is not JSON: \(reason)")
            }
            documents.append(ByteString(value))
            index = end
        }
    }

    /// Behind the value that begins at `start`; whether it is well-formed is the parser's business.
    private static func endOfValue(_ bytes: [UInt8], from start: Int) -> Int {
        var depth = 0
        var index = start
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\""):
                index += 1
                while index < bytes.count, bytes[index] != UInt8(ascii: "\"") { index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1 }
                index = min(index + 1, bytes.count)
                if depth == 0 { return index }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                index += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                index += 1
                if depth <= 0 { return index }
            default:
                if depth == 0, isBlank(bytes[index]) { return index }
                index += 1
            }
        }
        return bytes.count
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }
}
