import ArgumentParser
import MastLinkModel
import MastTimebase

/// What one direction of a link has for itself, in place of what both have.
struct OneWayOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Delay from clients to the network.", valueName: "time"))
    var upDelay: Interval?
    @Option(help: ArgumentHelp("Delay from the network to clients.", valueName: "time"))
    var downDelay: Interval?
    @Option(help: ArgumentHelp("Share of packets lost on the way from clients to the network.", valueName: "share"))
    var upLoss: Probability?
    @Option(help: ArgumentHelp("Share of packets lost on the way from the network to clients.", valueName: "share"))
    var downLoss: Probability?
    @Option(help: ArgumentHelp("The queue from clients to the network, as --queue has it.", valueName: "queue"))
    var upQueue: QueueDiscipline?
    @Option(help: ArgumentHelp("The queue from the network to clients.", valueName: "queue"))
    var downQueue: QueueDiscipline?

    var isGiven: Bool { upDelay != nil || downDelay != nil || upLoss != nil || downLoss != nil || upQueue != nil || downQueue != nil }

    /// One of that direction's, if one is given.
    func named(_ direction: LinkDirection) -> String? {
        let name = delay(direction) != nil ? "delay" : loss(direction) != nil ? "loss" : queue(direction) != nil ? "queue" : nil
        return name.map { "--\(direction.rawValue)-\($0)" }
    }

    func delay(_ direction: LinkDirection) -> Interval? { direction == .up ? upDelay : downDelay }
    func loss(_ direction: LinkDirection) -> Probability? { direction == .up ? upLoss : downLoss }
    func queue(_ direction: LinkDirection) -> QueueDiscipline? { direction == .up ? upQueue : downQueue }
}
