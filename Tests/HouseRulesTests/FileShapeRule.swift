/// One noun a file, short enough to read in one sitting, under a name that says what is inside.
struct FileShapeRule: FileRule {
    /// The habit is printed; the wall is enforced.
    static let habit = 400
    static let wall = 700
    private static let emptyNames = ["Manager", "Util", "Helper", "Common", "Misc", "Impl", "Stuff"]

    func violations(in file: SourceFile) -> [Violation] {
        var found: [Violation] = []
        if file.lineCount > Self.wall {
            found.append(
                Violation(
                    path: file.path, line: file.lineCount, rule: "\(file.lineCount) lines, the wall is \(Self.wall)",
                    advice: "one noun a file; divide by direction or by concern, `X+Y.swift` extends X"))
        }
        if let empty = Self.emptyNames.first(where: { file.stem.contains($0) }) {
            found.append(
                Violation(path: file.path, rule: "`\(empty)` says nothing", advice: "a name from which a stranger guesses the contents"))
        }
        return found
    }

    /// Files beyond the habit, longest first, for whoever looks for something to divide.
    static func long(_ files: [SourceFile]) -> [String] {
        files.filter { $0.lineCount > habit && $0.lineCount <= wall }.sorted { ($1.lineCount, $0.path) < ($0.lineCount, $1.path) }
            .map { "\($0.path): \($0.lineCount) lines" }
    }
}
