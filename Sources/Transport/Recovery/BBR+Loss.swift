import MastTimebase

/// What losses tell (draft-ietf-ccwg-bbr sections 5.5.10 and 5.5.11): of a probe, that it went too high; else, that there is less.
extension BBR {
    package mutating func onPacketLoss(_ packet: LostPacket, at now: Instant) {
        let departure = samples.onLoss(bytes: packet.bytes, sentAt: packet.sentAt)
        if model.onLoss(samples) {
            undo = Undo(
                window: max(window, phase == .probeRTT ? windowBeforeProbe : 0), shortBandwidth: model.shortBandwidth,
                shortInFlight: model.shortInFlight, longInFlight: model.longInFlight)
        }
        // Neighbours in one range are one event.
        if lastLost.map({ packet.number != $0 &+ 1 }) ?? true { lossRanges += 1 }
        lastLost = packet.number
        guard isProbeSample, let departure else { return }
        let lost = samples.lost &- departure.lost
        guard BBRModel.isTooMuch(lost: lost, of: departure.inFlight, datagramSize: datagramSize) else { return }
        let bearable = BBRModel.bearable(inFlight: departure.inFlight, lost: lost, bytes: packet.bytes, datagramSize: datagramSize)
        stopProbe(inFlight: bearable, departure, at: now)
    }

    /// Once for each probe.
    private mutating func stopProbe(inFlight: Double, _ departure: DeliverySamples.Departure, at now: Instant) {
        wasTooHigh = true
        isProbeSample = false
        if !departure.isAppLimited { model.longInFlight = max(inFlight, wantedInFlight * BBRModel.beta).rounded(.down) }
        guard phase == .up else { return }
        undo?.phase = .up
        startDown(at: now)
    }

    package mutating func onSpuriousLoss(at now: Instant) {
        guard let undo else { return }
        self.undo = nil
        window = min(max(window, undo.window), maximumWindow)
        model.undoLoss()
        fullPipe.restart()
        model.shortBandwidth = max(model.shortBandwidth, undo.shortBandwidth)
        model.shortInFlight = max(model.shortInFlight, undo.shortInFlight)
        model.longInFlight = max(model.longInFlight, undo.longInFlight)
        switch undo.phase {
        case .startup where phase != .startup:
            fullPipe.wasFull = false
            if phase != .probeRTT { phase = .startup }
        case .up where phase != .up: if phase != .probeRTT { startRefill() }
        default: break
        }
    }
}
