import Foundation

/// A JSON text sequence (RFC 7464), read by somebody else's parser.
package enum QLogRecords {
    package struct Unreadable: Error {
        package var record: Int
    }

    package static func of(_ bytes: [UInt8]) throws -> [[String: Any]] {
        try bytes.split(separator: 0x1E).enumerated().map { number, record in
            guard record.last == 0x0A, let object = try JSONSerialization.jsonObject(with: Data(record)) as? [String: Any] else {
                throw Unreadable(record: number)
            }
            return object
        }
    }
}
