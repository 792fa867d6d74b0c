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

    /// Of paths like `echo.v1.Echo/say`: service and method each for itself, or a long service would let pass any method.
    static func nearestPath(to path: String, among known: [String]) -> String? {
        let (service, method) = parts(path)
        let services = Set(known.map { parts($0).service }) // lookup only
        guard let near = services.contains(service) ? service : nearest(to: service, among: services.sorted()) else { return nil }
        let methods = known.map(parts).filter { $0.service == near }.map(\.method)
        return (methods.contains(method) ? method : nearest(to: method, among: methods)).map { near + "/" + $0 }
    }

    private static func parts(_ path: String) -> (service: String, method: String) {
        let parts = path.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        return (String(parts.first ?? ""), parts.count > 1 ? String(parts[1]) : "")
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
