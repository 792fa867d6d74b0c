import ArgumentParser
import Foundation
import MastFiles

/// A secret on the command line: as it is, or `@FILE`, which keeps it out of the list of processes and the shell's history;
/// `@-` is standard input.
struct SecretArgument: ExpressibleByArgument, Sendable {
    private static let most = 8_192
    private let text: String

    init?(argument: String) { text = argument }

    func value() throws -> String {
        guard text.hasPrefix("@") else { return text }
        let bytes = try InputFile.read(String(text.dropFirst()), limit: Self.most)
        return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
