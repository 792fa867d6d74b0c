import ArgumentParser
import Logging
import MastTimebase

extension Logger.Level: @retroactive ExpressibleByArgument {}

/// Options that all servers have in common.
struct ServerOptions: ParsableArguments {
    @Option(help: ArgumentHelp("What to say on standard error: trace, debug, info, notice, warning, error or critical.", valueName: "level"))
    var logLevel: Logger.Level = .notice

    @Option(help: ArgumentHelp("How long running calls may go on after a request to stop.", valueName: "time"))
    var grace: Interval = .seconds(5)

    @Flag(help: ArgumentHelp("End when standard input does: with a pipe there, no server outlives its parent.", visibility: .hidden))
    var followParent = false

    func logger(_ label: String) -> Logger { Self.logger(label, logLevel) }

    /// Call once in a process.
    static func logger(_ label: String, _ level: Logger.Level) -> Logger {
        LoggingSystem.bootstrap { PrintableLogHandler(label: $0) }
        var logger = Logger(label: label)
        logger.logLevel = level
        return logger
    }

    func requests() -> AsyncStream<Termination.Cause> { Termination.requests(followParent: followParent) }
}
