/* Answers every HTTP request with one page, a connection at a time. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char page[] = "<h1>Hello</h1><p>Served by C.</p>\n";

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static int listener(unsigned short port)
{
    int on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_ANY),
    };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0
        || bind(fd, (struct sockaddr *)&address, sizeof address) < 0
        || listen(fd, 16) < 0) {
        perror("hello");
        exit(EXIT_FAILURE);
    }
    return fd;
}

static void answer(int fd)
{
    char request[4096];

    if (read(fd, request, sizeof request) > 0)
        dprintf(fd,
                "HTTP/1.1 200 OK\r\n"
                "Content-Type: text/html\r\n"
                "Content-Length: %zu\r\n"
                "Connection: close\r\n\r\n%s",
                strlen(page), page);
    close(fd);
}

int main(void)
{
    const char *port = getenv("PORT");
    struct sigaction action = {.sa_handler = stop};
    int fd = listener((unsigned short)atoi(port ? port : "8080"));

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    while (!stopped) {
        int client = accept(fd, NULL, NULL);

        if (client >= 0)
            answer(client);
    }
    return EXIT_SUCCESS;
}
