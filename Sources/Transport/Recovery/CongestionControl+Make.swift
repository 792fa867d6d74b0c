extension CongestionControl {
    /// A controller for a new path.
    func make(datagramSize: Int, maximumWindow: Int) -> any CongestionController {
        switch self {
        case .cubic: Cubic(datagramSize: datagramSize, maximumWindow: maximumWindow)
        }
    }
}
