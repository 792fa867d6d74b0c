/// Fills a run from a client's summary and its records.
extension Run {
    mutating func read(summary: [String: Any], records: String) {
        calls = summary["calls"] as? Int ?? 0
        failed = summary["failed"] as? Int ?? 0
        if let unsupported = summary["unsupported"] as? String {
            (state, reason) = ("unsupported", unsupported)
            return
        }
        let verified = summary["verified"] as? Bool ?? false
        state = verified && failed == 0 ? "ok" : "failed"
        reason = summary["firstFailure"] as? String
        var latencies: [UInt64] = []
        var (first, last, bytes, bulkBytes, bulkNanoseconds) = (UInt64.max, UInt64.min, 0, 0, UInt64(0))
        let hasCalls = records.contains("\ncall,")
        for line in records.split(separator: "\n").dropFirst() {
            let cells = line.split(separator: ",")
            guard cells.count == 7, let intended = UInt64(cells[1]), let start = UInt64(cells[2]), let end = UInt64(cells[3]), end >= intended,
                let up = Int(cells[5]), let down = Int(cells[6])
            else {
                (state, reason) = ("failed", "the records are damaged")
                return
            }
            if cells[0] == "bulk" {
                bulkBytes += up + down
                bulkNanoseconds += end - start
            }
            if cells[4] == "1", cells[0] != "bulk" || !hasCalls { latencies.append(end - intended) }
            (first, last, bytes) = (min(first, start), max(last, end), bytes + up + down)
        }
        guard last > first else { return }
        latencies.sort()
        p50Nanoseconds = Statistics.percentile(latencies, 0.5)
        p99Nanoseconds = Statistics.percentile(latencies, 0.99)
        callsPerSecond = Double(latencies.count) / (Double(last - first) / 1e9)
        megabitsPerSecond =
            bulkNanoseconds > 0 ? Double(bulkBytes) * 8000 / Double(bulkNanoseconds) : Double(bytes) * 8000 / Double(last - first)
        let step = max(1, (latencies.count + 1999) / 2000)
        latencyNanoseconds = stride(from: 0, to: latencies.count, by: step).map { latencies[$0] }
    }
}
