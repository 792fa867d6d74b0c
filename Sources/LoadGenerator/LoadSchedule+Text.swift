import MastCapture
import MastLinkModel
import MastTimebase

// How a load is written: `100..2000/30s` climbs, `100,500,1000/10s` and `100..1000+100/10s` go in steps.
extension LoadSchedule.Shape {
    /// More than one generator can send on any machine of today; beyond, a number is a typing mistake.
    package static let mostRate = 1_000_000.0
    /// Each has a row of its own in the results.
    package static let mostSteps = 100

    /// A plain number of calls a second: `1000`, `0.5`.
    package static func rate(_ text: some StringProtocol) -> Double? {
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2E }), let rate = Double(String(text)), rate.isFinite, rate <= mostRate
        else { return nil }
        return rate
    }

    /// `FROM..TO/TIME`.
    package init?(ramp text: String) {
        guard let (rates, time) = Self.parts(text), let (from, to) = Self.range(rates), from > 0 || to > 0 else { return nil }
        self = .ramp(from: from, to: to, over: time)
    }

    /// `RATE,RATE,…/TIME`, or `FROM..TO+BY/TIME`.
    package init?(steps text: String) {
        guard let (rates, time) = Self.parts(text) else { return nil }
        if let plus = rates.lastIndex(of: "+") {
            guard let (from, to) = Self.range(rates[..<plus]), let by = Self.rate(rates[rates.index(after: plus)...]), by > 0, from > 0, to > 0
            else { return nil }
            let count = ((to - from).magnitude / by + 1e-9).rounded(.down)
            guard count < Double(Self.mostSteps) else { return nil }
            self = .steps((0...Int(count)).map { from + (to < from ? -by : by) * Double($0) }, each: time)
        } else {
            let all = rates.split(separator: ",", omittingEmptySubsequences: false).map { Self.rate($0) ?? 0 }
            guard all.allSatisfy({ $0 > 0 }), all.count <= Self.mostSteps else { return nil }
            self = .steps(all, each: time)
        }
    }

    private static func parts(_ text: String) -> (rates: Substring, time: Interval)? {
        guard let slash = text.lastIndex(of: "/"), let time = Interval(text: text[text.index(after: slash)...]), time > .zero else { return nil }
        return (text[..<slash], time)
    }

    private static func range(_ text: Substring) -> (from: Double, to: Double)? {
        let bounds = text.split(separator: "..", omittingEmptySubsequences: false)
        guard bounds.count == 2, let from = rate(bounds[0]), let to = rate(bounds[1]) else { return nil }
        return (from, to)
    }

    /// For a person.
    package var text: String {
        switch self {
        case .constant(let rate): "\(Self.shown(rate))/s"
        case .ramp(let from, let to, let over): "\(Self.shown(from)) to \(Self.shown(to))/s within \(over.text)"
        case .steps(let rates, let each):
            (rates.count <= 6 ? rates.map(Self.shown).joined(separator: ", ") : "\(Self.shown(rates.first ?? 0)) to \(Self.shown(rates.last ?? 0)) in \(rates.count) steps")
                + "/s, each for \(each.text)"
        }
    }

    /// With as many digits as it needs, two at most.
    package static func shown(_ rate: Double) -> String {
        let text = TextLayout.fixed(rate, 2)
        guard text.contains(".") else { return text }
        let cut = text.prefix(text.count - text.reversed().prefix { $0 == "0" }.count)
        return String(cut.last == "." ? cut.dropLast() : cut)
    }
}
