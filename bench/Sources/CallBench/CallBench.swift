import ArgumentParser
import Foundation
import MastCalls

/// Calls per second over loopback, with their latencies, beside the bare UDP exchange that they stand on.
@main struct CallBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "callbench",
        abstract: "Echo calls between two processes over loopback: rate, latency, CPU time per call.",
        subcommands: [Run.self, Serve.self], defaultSubcommand: Run.self)

    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Measure (the default).")

        @Option(parsing: .upToNextOption, help: "Calls in flight; each number is one measurement.") var inFlight: [Int] = [1, 64]
        @Option(help: "Bytes of each request and of each answer.") var payload = 64
        @Option(help: "Seconds of each measurement.") var duration = 5.0
        @Option(help: "Seconds of the same load before each measurement, not counted.") var warmup = 1.0
        @Option(help: "What the echo method declares: readOnly, idempotent or atMostOnce.") var semantics = "atMostOnce"
        @Flag(help: "Print one JSON object.") var json = false

        func validate() throws {
            guard !inFlight.isEmpty, inFlight.allSatisfy({ (1...10_000).contains($0) }) else {
                throw ValidationError("--in-flight is 1 to 10000")
            }
            guard (8...1_000).contains(payload) else {
                throw ValidationError("--payload is 8 to 1000 bytes: the bare exchange is one datagram")
            }
            guard duration > 0, warmup >= 0 else { throw ValidationError("--duration is more than 0 seconds, --warmup not less") }
            guard EchoMethods.semantics(named: semantics) != nil else {
                throw ValidationError("--semantics is readOnly, idempotent or atMostOnce")
            }
        }

        func run() async throws {
            let server = try ServerProcess(semantics: semantics)
            defer { server.stop() }
            let load = Load(payloadBytes: payload, warmup: warmup, duration: duration)
            var report = Report(load: load, semantics: semantics)

            for width in inFlight {
                note("bare UDP, \(width) in flight")
                report.measurements.append(try await UDPExchange(port: server.ready.udpPort).measure(load, inFlight: width))
            }
            let (widths, semantics, ready) = (inFlight, semantics, server.ready)
            report.measurements += try await withUDPHost(bind: .loopback(port: 0)) { host in
                let client = try await CallClient(host: host, server: ready, semantics: semantics)
                var measurements: [Measurement] = []
                for width in widths {
                    note("calls, \(width) in flight")
                    measurements.append(try await client.measure(load, inFlight: width))
                }
                return measurements
            }
            print(json ? try report.json() : report.text())
        }

    }

    struct Serve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "The server's process; ends when its standard input does.", shouldDisplay: false)

        @Option var semantics = "atMostOnce"

        func run() async throws { try await EchoServer.run(semantics: semantics) }
    }
}

/// Progress, beside the result.
func note(_ what: String) { FileHandle.standardError.write(Data("measuring \(what) …\n".utf8)) }
