import ArgumentParser
import Foundation
import MastCapture
import MastFiles
import MastLinkModel
import MastTimebase

struct LinkLimitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "limit", abstract: "The soonest that calls and transfers could have ended on a modelled link, whatever the protocol.",
        discussion: """
            What a sender reaches that knows every delivery opportunity in advance, has the link to itself and loses \
            nothing; a packet costs 28 bytes of headers. The bound to hold a measurement against.

              mast link limit --profile lte-handover --up-bytes 64 --down-bytes 2000000
              mast link limit --down lte.down --up lte.up --delay 20ms --calls calls.csv

            --calls takes lines of `seconds,up bytes,down bytes` in order of time, seconds of the link's own time, and \
            prints a line of `seconds,milliseconds` for each; - is standard input. --series shows instead what the link \
            can carry over time.
            """)

    @OptionGroup(title: "Link options") var link: LinkOptions

    @Option(help: ArgumentHelp("When the request begins, in the link's time.", valueName: "time"))
    var at = Interval.zero
    @Option(help: ArgumentHelp("Bytes of the request.", valueName: "bytes"))
    var upBytes = 64
    @Option(help: ArgumentHelp("Bytes of the answer.", valueName: "bytes"))
    var downBytes = 64
    @Option(help: ArgumentHelp("Many exchanges, a line for each.", valueName: "file"))
    var calls: String?
    @Option(help: ArgumentHelp("Print the capacity in steps of this length, up and down, instead.", valueName: "step"))
    var series: Interval?
    @Option(name: .customLong("for"), help: ArgumentHelp("How much of it.", valueName: "time"))
    var length = Interval.seconds(60)
    @OptionGroup var output: OutputOptions

    /// A series is for looking.
    private static let mostSteps = 100_000
    /// A transfer is simulated packet by packet.
    private static let mostBytes = 4 << 30

    struct Exchange: Encodable {
        var atS: Double
        var upBytes, downBytes: Int
        /// Nil: it never ends.
        var ms: Double?
        /// Of the larger of the two, over the whole exchange.
        var mbps: Double?
    }

    func validate() throws {
        guard (0...Self.mostBytes).contains(upBytes), (0...Self.mostBytes).contains(downBytes) else {
            throw ValidationError("--up-bytes and --down-bytes must be 0 to \(Self.mostBytes)")
        }
        if let series {
            guard series >= .milliseconds(1), length >= series, length.nanoseconds / series.nanoseconds <= Self.mostSteps else {
                throw ValidationError("--series must be 1ms or more, and --for at most \(Self.mostSteps) of them")
            }
        }
        guard at >= .zero else { throw ValidationError("--at must not be negative") }
    }

    struct Series: Encodable {
        /// Seconds.
        var step: Double
        /// Empty where there is no limit.
        var upMbps, downMbps: [Double]
    }

    func run() throws {
        if let series { return try show(series) }
        var limit = LinkLimit(try link.resolved())
        var exchanges: [Exchange] = []
        if let calls {
            for (number, line) in String(decoding: try InputFile.read(calls), as: UTF8.self).split(separator: "\n").enumerated() {
                let cells = line.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
                guard cells.count == 3, let time = Interval(text: cells[0] + "s"), time >= .zero, let up = Int(cells[1]), let down = Int(cells[2]),
                    (0...Self.mostBytes).contains(up), (0...Self.mostBytes).contains(down),
                    time.inSeconds >= exchanges.last?.atS ?? 0
                else { throw Failure(.badData, "line \(number + 1) of \(calls) is not `seconds,up bytes,down bytes` in order of time: \(line)") }
                exchanges.append(Self.exchange(&limit, time, up, down))
            }
        } else {
            exchanges.append(Self.exchange(&limit, at, upBytes, downBytes))
        }
        if output.json { return try Output.json(exchanges) }
        for exchange in exchanges {
            let time = exchange.ms.map { TextLayout.fixed($0, 3) } ?? "never"
            if calls != nil { Output.line("\(exchange.atS),\(time)"); continue }
            let rate = exchange.mbps.map { ", \(TextLayout.fixed($0, 3)) Mbit/s" } ?? ""
            Output.line("\(exchange.upBytes) bytes up, \(exchange.downBytes) down: \(time)\(exchange.ms == nil ? "" : " ms at the soonest")\(rate)")
        }
    }

    private func show(_ step: Interval) throws {
        let scenario = try link.resolved()
        let count = Int(length.nanoseconds / step.nanoseconds)
        func capacity(_ direction: LinkDirection) -> [Double] {
            LinkLimit.series(scenario[direction], seed: scenario.seed, direction: direction, step: step, count: count)
        }
        let result = Series(step: step.inSeconds, upMbps: capacity(.up), downMbps: capacity(.down))
        if output.json { return try Output.json(result) }
        Output.line("seconds,up Mbit/s,down Mbit/s")
        for index in 0..<count {
            func cell(_ values: [Double]) -> String { values.indices.contains(index) ? TextLayout.fixed(values[index], 3) : "unlimited" }
            Output.line("\(TextLayout.fixed(Double(index) * step.inSeconds, 3)),\(cell(result.upMbps)),\(cell(result.downMbps))")
        }
    }

    private static func exchange(_ limit: inout LinkLimit, _ at: Interval, _ up: Int, _ down: Int) -> Exchange {
        let took = limit.exchange(at: .zero + at, request: up, answer: down).map { ($0.sinceStart - at).inSeconds }
        let rate = took.flatMap { $0 > 0 ? Double(max(up, down)) * 8 / $0 / 1e6 : nil }
        return Exchange(atS: at.inSeconds, upBytes: up, downBytes: down, ms: took.map { $0 * 1_000 }, mbps: rate)
    }
}
