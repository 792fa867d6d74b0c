/// Inside Transport the folders are floors: a file names what is declared on its own floor or below it.
struct FloorRule: HouseRule {
    static let base = "Sources/Transport"
    /// From the ground up; floors that share a number do not see each other.
    static let floors: [(folder: String, level: Int)] = [
        ("Values", 0), ("Wire", 1), ("Recovery", 2), ("Security", 2), ("Streams", 3), ("Connection", 4), ("Endpoint", 5),
    ]

    func violations(in files: [SourceFile]) -> [Violation] {
        let inside = files.filter { $0.isUnder(Self.base) }
        var home: [String: String] = [:]
        for file in inside { for name in Self.topLevelTypes(in: file) { home[name] = Self.floor(of: file) } }
        return inside.flatMap { file -> [Violation] in
            guard let floor = Self.floor(of: file), let level = Self.level(floor) else {
                return [
                    Violation(
                        path: file.path, rule: "Transport has no such floor", advice: Self.floors.map(\.folder).joined(separator: ", "))
                ]
            }
            return file.code.indices.flatMap { index in
                file.tokens[index].compactMap { token -> Violation? in
                    guard token.before != ".", let other = home[token.text], other != floor, let theirs = Self.level(other), theirs >= level
                    else { return nil }
                    return Violation(
                        file, index, "\(floor)/ names \(token.text), which is declared in \(other)/",
                        "hand the value down, or move the type to Values/ if every floor may know it")
                }
            }
        }
    }

    private static func floor(of file: SourceFile) -> String? {
        let parts = file.path.split(separator: "/")
        return parts.count > 3 ? String(parts[2]) : nil
    }

    private static func level(_ floor: String) -> Int? { floors.first { $0.folder == floor }?.level }

    static func topLevelTypes(in file: SourceFile) -> [String] {
        zip(file.code, file.tokens).compactMap { line, tokens in
            // Declarations at the top level are not indented.
            guard !tokens.isEmpty, line.first != " ",
                let match = line.prefixMatch(
                    of:
                        #/(?:(?:@\w+|public|package|internal|private|fileprivate|final|indirect)\s+)*(?:struct|enum|class|protocol|actor|typealias)\s+(\w+)/#
                )
            else { return nil }
            return String(match.1)
        }
    }
}
