// What this machine allows before any protocol: bare UDP exchanges, sending with segmentation offload, sealing and opening.
// Prints one JSON object; each figure is the best of three.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#define ROUNDS 3

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int bound(struct sockaddr_in *address) {
    int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof *address;
    if (descriptor < 0 || bind(descriptor, (struct sockaddr *)address, length) || getsockname(descriptor, (struct sockaddr *)address, &length)) {
        perror("machine: no socket");
        _exit(69);
    }
    return descriptor;
}

static void *echo(void *argument) {
    int descriptor = *(int *)argument;
    char datagram[2048];
    struct sockaddr_in peer;
    for (;;) {
        socklen_t length = sizeof peer;
        ssize_t count = recvfrom(descriptor, datagram, sizeof datagram, 0, (struct sockaddr *)&peer, &length);
        if (count <= 0) return NULL;
        sendto(descriptor, datagram, (size_t)count, 0, (struct sockaddr *)&peer, length);
    }
}

// One datagram of 64 bytes there and back, one at a time, over two threads.
static void exchange(double *per_second, double *cpu_us) {
    struct sockaddr_in server, client;
    static int there;
    there = bound(&server);
    int here = bound(&client);
    pthread_t thread;
    if (connect(here, (struct sockaddr *)&server, sizeof server) || pthread_create(&thread, NULL, echo, &there)) _exit(69);
    char datagram[64] = {0};
    double began = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID), end;
    long count = 0;
    do {
        for (int i = 0; i < 100; i++, count++) {
            if (send(here, datagram, sizeof datagram, 0) < 0 || recv(here, datagram, sizeof datagram, 0) < 0) _exit(69);
        }
        end = now(CLOCK_MONOTONIC);
    } while (end - began < 0.7);
    *per_second = (double)count / (end - began);
    *cpu_us = (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6 / (double)count;
    shutdown(there, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(there);
    close(here);
}

// Datagrams of 1200 bytes to a socket that nobody reads: what the sending half costs. Gbit/s of one core.
static double sending(int segments) {
    struct sockaddr_in sink, source;
    int there = bound(&sink), here = bound(&source);
    int size = 1200, small = 4096;
    setsockopt(there, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (segments > 1 && setsockopt(here, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size)) {
        close(there);
        close(here);
        return 0;
    }
    static char bytes[64 * 1200];
    double began = now(CLOCK_PROCESS_CPUTIME_ID), end;
    double sent = 0;
    do {
        for (int i = 0; i < 100; i++) {
            ssize_t count = sendto(here, bytes, (size_t)(segments * size), 0, (struct sockaddr *)&sink, sizeof sink);
            if (count > 0) sent += (double)count;
        }
        end = now(CLOCK_PROCESS_CPUTIME_ID);
    } while (end - began < 0.4);
    close(there);
    close(here);
    return sent * 8 / (end - began) / 1e9;
}

// Packets of 1200 bytes, sealed or opened in place. Gbit/s of one core.
static double sealing(const EVP_CIPHER *cipher, int opens) {
    unsigned char key[32] = {1}, nonce[12] = {2}, header[16] = {3}, packet[1200] = {4}, out[1216], tag[16] = {0};
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int length;
    double done = 0;
    EVP_CipherInit_ex(context, cipher, NULL, key, nonce, 1);
    EVP_EncryptUpdate(context, NULL, &length, header, sizeof header);
    EVP_EncryptUpdate(context, out, &length, packet, sizeof packet);
    EVP_EncryptFinal_ex(context, out, &length);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, sizeof tag, tag);
    memcpy(packet, out, sizeof packet);
    EVP_CipherInit_ex(context, cipher, NULL, key, nonce, !opens);
    double began = now(CLOCK_PROCESS_CPUTIME_ID), end;
    do {
        for (int i = 0; i < 500; i++) {
            EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, !opens);
            EVP_CipherUpdate(context, NULL, &length, header, sizeof header);
            EVP_CipherUpdate(context, out, &length, packet, sizeof packet);
            if (opens) EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag);
            if (EVP_CipherFinal_ex(context, out, &length) != 1) _exit(70);
            if (!opens) EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, sizeof tag, tag);
            done += sizeof packet;
        }
        end = now(CLOCK_PROCESS_CPUTIME_ID);
    } while (end - began < 0.3);
    EVP_CIPHER_CTX_free(context);
    return done * 8 / (end - began) / 1e9;
}

static double best(double a, double b) { return a > b ? a : b; }

int main(void) {
    double rate = 0, cpu = 1e9, plain = 0, offload = 0, chacha[2] = {0}, gcm[2] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        double each, cost;
        exchange(&each, &cost);
        rate = best(rate, each);
        if (cost < cpu) cpu = cost;
        plain = best(plain, sending(1));
        offload = best(offload, sending(50));
        for (int opens = 0; opens < 2; opens++) {
            chacha[opens] = best(chacha[opens], sealing(EVP_chacha20_poly1305(), opens));
            gcm[opens] = best(gcm[opens], sealing(EVP_aes_128_gcm(), opens));
        }
    }
    printf("{\"udpExchangesPerSecond\": %.0f, \"udpExchangeCPUMicroseconds\": %.2f, \"udpSendGbps\": %.2f, \"udpSendOffloadedGbps\": %.2f, "
           "\"chacha20Poly1305SealGbps\": %.2f, \"chacha20Poly1305OpenGbps\": %.2f, \"aes128GCMSealGbps\": %.2f, \"aes128GCMOpenGbps\": %.2f}\n",
           rate, cpu, plain, offload, chacha[0], chacha[1], gcm[0], gcm[1]);
    return 0;
}
