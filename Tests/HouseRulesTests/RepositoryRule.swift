/// The package speaks only of itself, and its front door is tidy.
enum RepositoryRule {
    static let topLevel: Set<String> = [
        "Package.swift", "README.md", "Sources", "Tests", "bench", "captures", ".ci", ".gitignore", ".swift-format",
    ]
    /// Made by tools, and ignored by git.
    static let ignored: Set<String> = [".git", ".build", ".swiftpm", ".DS_Store", "Package.resolved", ".vscode", ".index-build"]

    static func strangers(among entries: [String]) -> [Violation] {
        entries.filter { !topLevel.contains($0) && !ignored.contains($0) && !$0.hasPrefix(".build") }.sorted().map {
            Violation(
                path: $0, rule: "does not belong at the top of the package",
                advice: "a folder below Sources, Tests, bench or captures; or a line in RepositoryRule.topLevel")
        }
    }

    /// Places of one machine, and of work rather than of the product. Put together here, so that this file is clean.
    static let foreign: [String] = [
        ["/wo", "rk/"], ["/op", "t/swift"], ["/ro", "ot/"], ["/tm", "p/bash"], ["issue ", "#"],
    ].map { $0.joined() }
    /// Hosts that building may speak to.
    static let hosts: Set<String> = ["github.com"]

    static func foreignWords(path: String, text: String) -> [Violation] {
        SourceFile.split(text).enumerated().compactMap { index, line in
            guard let word = foreign.first(where: { line.contains($0) }) else { return nil }
            return Violation(
                path: path, line: index + 1, rule: "`\(word)` is not about this package",
                advice: "a path relative to the package, the user's own folders by variable, or the reason itself")
        }
    }

    static func foreignHosts(path: String, text: String) -> [Violation] {
        SourceFile.split(text).enumerated().flatMap { index, line in
            line.matches(of: #/https?://([^/\s"'):]+)/#).map { String($0.1) }.filter { !hosts.contains($0) }.map {
                Violation(
                    path: path, line: index + 1, rule: "builds from \($0)",
                    advice: "public sources only: \(hosts.sorted().joined(separator: ", "))")
            }
        }
    }
}
