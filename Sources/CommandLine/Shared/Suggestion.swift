/// What somebody meant who typed something else.
enum Suggestion {
    /// Longer names are not compared.
    private static let longest = 100

    /// The nearest by edit distance (Damerau-Levenshtein, neighbours swapped counting once), if it is near: of three letters one may differ.
    static func nearest(to word: String, among known: [String]) -> String? {
        let typed = Array(word.lowercased())
        guard !typed.isEmpty, typed.count <= longest else { return nil }
        var best: (distance: Int, name: String)?
        for name in known where name.count <= longest {
            let distance = distance(typed, Array(name.lowercased()))
            guard distance <= max(1, min(typed.count, name.count) / 3), distance < best?.distance ?? .max else { continue }
            best = (distance, name)
        }
        return best?.name
    }

    private static func distance(_ a: [Character], _ b: [Character]) -> Int {
        var before: [Int] = []
        var last = Array(0...b.count)
        for (row, letter) in a.enumerated() {
            var next = [row + 1]
            next.reserveCapacity(b.count + 1)
            for (column, other) in b.enumerated() {
                var least = min(next[column] + 1, last[column + 1] + 1, last[column] + (letter == other ? 0 : 1))
                if row > 0, column > 0, letter == b[column - 1], a[row - 1] == other { least = min(least, before[column - 1] + 1) }
                next.append(least)
            }
            (before, last) = (last, next)
        }
        return last[b.count]
    }
}
