# The trainer: its service, and beside it the worker that carries libtorch and is started once a rank, by Open MPI.
FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
ARG PROJECT
# "true": the worker has libtorch for CUDA (some gigabytes), and the image NCCL.
ARG CUDA=false
WORKDIR /src
COPY . .
RUN dotnet publish "$PROJECT" -c Release -o /app \
 && dotnet publish services/trainer/Drover.Trainer.Worker -c Release -p:DroverCuda=$CUDA -o /app/worker

FROM mcr.microsoft.com/dotnet/aspnet:10.0
ARG CUDA=false
RUN apt-get update \
 && apt-get install -y --no-install-recommends openmpi-bin \
 && if [ "$CUDA" = true ]; then \
      apt-get install -y --no-install-recommends ca-certificates curl \
      && curl -fsSLo /tmp/keyring.deb https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2404/x86_64/cuda-keyring_1.1-1_all.deb \
      && dpkg -i /tmp/keyring.deb && rm /tmp/keyring.deb \
      && apt-get update \
      && apt-get install -y --no-install-recommends 'libnccl2=*+cuda12*'; \
    fi \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /app /app
WORKDIR /app
ENV DROVER_Drover__DataFolder=/data
VOLUME /data
ENTRYPOINT ["dotnet"]
