import MastRPC

extension HostConfiguration {
    /// For hosts that take part in a cloud: one message holds a run's input or output of up to 16 MiB.
    package static var cloud: HostConfiguration {
        var configuration = HostConfiguration()
        configuration.envelope.messageBytes = 17 << 20
        return configuration
    }
}
