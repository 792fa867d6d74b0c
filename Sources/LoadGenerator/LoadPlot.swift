import MastCapture

/// A plot as SVG, in the colours of the page around it.
struct LoadPlot {
    struct Line {
        var name: String
        /// A colour of the page's style.
        var colour: String
        var points: [(x: Double, y: Double)]
    }

    enum Axis {
        case linear
        /// In powers of two, straight between them: a logarithm's shape, exact at its powers.
        case logarithmic

        func place(_ value: Double) -> Double {
            guard self == .logarithmic else { return value }
            let value = max(value, 1e-6)
            return Double(value.exponent) + (value.significand - 1)
        }
    }

    static let width = 480.0, height = 240.0
    private static let left = 56.0, right = 470.0, top = 14.0, bottom = 208.0

    var title: String
    /// Of the vertical axis.
    var unit: String
    var lines: [Line]
    var y: Axis
    var x: Axis
    /// Values of the horizontal axis with what stands there.
    var xLabels: [(value: Double, text: String)]
    var caption: String

    var svg: String {
        let points = lines.flatMap(\.points)
        guard let first = points.first else { return "" }
        var (xLow, xHigh, yLow, yHigh) = (first.x, first.x, first.y, first.y)
        for point in points {
            (xLow, xHigh) = (min(xLow, point.x), max(xHigh, point.x))
            (yLow, yHigh) = (min(yLow, point.y), max(yHigh, point.y))
        }
        for label in xLabels { xHigh = max(xHigh, label.value) }
        yLow = y == .linear ? 0 : max(yLow * 0.9, 1e-3)
        yHigh = max(yHigh * 1.06, yLow * 1.3, 1e-3)
        let (x0, x1, y0, y1) = (x.place(xLow), max(x.place(xHigh), x.place(xLow) + 1e-6), y.place(yLow), y.place(yHigh))
        func across(_ value: Double) -> Double { Self.left + (Self.right - Self.left) * (x.place(value) - x0) / (x1 - x0) }
        func down(_ value: Double) -> Double { Self.bottom - (Self.bottom - Self.top) * (y.place(value) - y0) / (y1 - y0) }
        func text(_ value: Double) -> String { TextLayout.fixed(value, 1) }
        var out = "<figure class=\"load\"><h3>\(TextLayout.html(title)) <span class=\"unit\">\(TextLayout.html(unit))</span></h3>\n"
        out += "<svg viewBox=\"0 0 \(Int(Self.width)) \(Int(Self.height))\" role=\"img\" aria-label=\"\(TextLayout.html(title))\">"
        for tick in Self.ticks(yLow, yHigh, y) {
            out += "<path class=\"grid\" d=\"M\(text(Self.left)) \(text(down(tick)))H\(text(Self.right))\"/>"
            out += "<text x=\"\(text(Self.left - 6))\" y=\"\(text(down(tick) + 4))\" text-anchor=\"end\">\(Self.label(tick))</text>"
        }
        for (index, label) in xLabels.enumerated() {
            let anchor = index == 0 ? "start" : label.value >= xHigh ? "end" : "middle"
            out += "<text x=\"\(text(across(label.value)))\" y=\"\(text(Self.bottom + 20))\" text-anchor=\"\(anchor)\">\(TextLayout.html(label.text))</text>"
        }
        for line in lines where !line.points.isEmpty {
            let path = line.points.enumerated().map { "\($0 == 0 ? "M" : "L")\(text(across($1.x))) \(text(down($1.y)))" }.joined()
            // One point alone would not show.
            let isDot = line.points.count == 1
            out += "<path class=\"line\" style=\"stroke:var(--\(line.colour))\" d=\"\(path)\(isDot ? "h.1" : "")\"><title>\(TextLayout.html(line.name))</title></path>"
        }
        out += "</svg>\n<ul class=\"legend\">"
        for line in lines {
            out += "<li><svg width=\"18\" height=\"8\" aria-hidden=\"true\"><path class=\"line\" style=\"stroke:var(--\(line.colour))\" d=\"M0 4h18\"/></svg>\(TextLayout.html(line.name))</li>"
        }
        return out + "</ul><p class=\"said\">\(TextLayout.html(caption))</p></figure>\n"
    }

    /// Round values from one bound to the other.
    static func ticks(_ low: Double, _ high: Double, _ axis: Axis) -> [Double] {
        guard high > low, low >= 0 else { return [] }
        var ticks: [Double] = []
        var decade = 1e-3
        while decade <= high {
            for digit in [1.0, 2, 5] where digit * decade >= low && digit * decade <= high { ticks.append(digit * decade) }
            decade *= 10
        }
        switch axis {
        case .logarithmic:
            // Not so many that they touch.
            while ticks.count > 8 { ticks = stride(from: 0, to: ticks.count, by: 3).map { ticks[$0] } }
            return ticks
        case .linear:
            guard let step = ticks.last(where: { high / $0 >= 4 }) ?? ticks.first else { return [] }
            return (0...min(10, Int(high / step))).map { Double($0) * step }
        }
    }

    private static func label(_ value: Double) -> String {
        value >= 10_000 ? TextLayout.fixed(value / 1_000, 0) + "k" : TextLayout.fixed(value, value >= 10 || value == 0 ? 0 : value >= 1 ? 1 : value >= 0.1 ? 2 : 3)
    }
}
