import Foundation

/// One self-contained page: for each link and workload the latency distributions on a logarithmic axis.
enum HTMLReport {
    private static let colours = ["#d1495b", "#00798c", "#edae49", "#30638e", "#66a182", "#8d6a9f", "#5c6b73", "#b5651d", "#2e4057"]

    static func page(_ results: Results) -> String {
        var body = "<h1>\(escaped(results.plan))</h1><p>\(escaped(results.date)); "
        body += results.machine.sorted { $0.key < $1.key }.map { escaped("\($0.key): \($0.value)") }.joined(separator: "; ") + "; seed \(results.seed)</p>"
        var (title, section): (String, [(String, [Run])]) = ("", [])
        for group in results.groups {
            let next = "\(group.workload) on \(group.link)"
            if next != title {
                if !section.isEmpty { body += figure(title, section) }
                (title, section) = (next, [])
            }
            section.append((group.contender, group.runs))
        }
        if !section.isEmpty { body += figure(title, section) }
        return """
            <!doctype html><meta charset="utf-8"><title>\(escaped(results.plan))</title>
            <style>body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;color:#222}
            svg{width:100%;height:auto}text{font-size:12px;fill:#444}.bad{color:#b00}</style>\(body)
            """
    }

    private static func escaped(_ text: String) -> String {
        text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
    }

    private static func figure(_ title: String, _ section: [(String, [Run])]) -> String {
        let pooled = section.map { ($0.0, $0.1.filter { $0.state == "ok" }.flatMap(\.latencyNanoseconds).sorted()) }
        let all = pooled.flatMap(\.1)
        var out = "<h2>\(escaped(title))</h2>"
        for (name, runs) in section {
            let bad = runs.filter { $0.state != "ok" }
            if let first = bad.first {
                out += "<p class=bad>\(escaped(name)): \(bad.count) of \(runs.count) runs \(first.state): \(escaped(first.reason ?? ""))</p>"
            }
        }
        guard let least = all.min(), let most = all.max(), most > 0 else { return out }
        let low = floor(log10(Double(max(least, 1))))
        let high = max(low + 1, ceil(log10(Double(most))))
        func x(_ value: UInt64) -> Double { 60 + 640 * (log10(Double(max(value, 1))) - low) / (high - low) }
        out += "<svg viewBox='0 0 860 300'>"
        for decade in Int(low)...Int(high) {
            let at = 60 + 640 * (Double(decade) - low) / (high - low)
            out += "<path d='M\(at) 20V260' stroke='#ddd'/><text x='\(at)' y='280' text-anchor='middle'>\(milliseconds(decade))</text>"
        }
        for share in [0.0, 0.5, 0.9, 1.0] {
            out += "<text x='50' y='\(264 - 240 * share)' text-anchor='end'>\(Int(share * 100)) %</text>"
        }
        for (index, (name, samples)) in pooled.enumerated() where !samples.isEmpty {
            let colour = colours[index % colours.count]
            let step = max(1, samples.count / 300)
            let points = stride(from: 0, to: samples.count, by: step).map { index in
                String(format: "%.1f,%.1f", x(samples[index]), 260 - 240 * Double(index + 1) / Double(samples.count))
            }
            out += "<polyline fill='none' stroke='\(colour)' stroke-width='2' points='\(points.joined(separator: " "))'/>"
            out += "<rect x='715' y='\(20 + index * 22)' width='12' height='12' fill='\(colour)'/>"
            out += "<text x='733' y='\(31 + index * 22)'>\(escaped(name))</text>"
        }
        return out + "<text x='380' y='298' text-anchor='middle'>latency, ms</text></svg>"
    }

    private static func milliseconds(_ decade: Int) -> String {
        decade >= 6 ? "1" + String(repeating: "0", count: decade - 6) : "0." + String(repeating: "0", count: 5 - decade) + "1"
    }
}
