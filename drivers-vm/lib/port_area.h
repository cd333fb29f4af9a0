/*
 * The memory through which the control VM is a virtio client of the driver VM: a card and a disk, without a bus. Three split virtqueues
 * (virtio 1.2, 2.7) and their buffers at fixed places; no features beyond VERSION_1, so a frame has a header of 12 bytes (5.1.6) and a
 * disk request a header of 16 bytes and a status byte (5.2.6). Addresses in descriptors count from the area's start. The memory is the
 * control VM's, which is the driver; the driver VM is the device. Neither believes what stands here.
 */
#ifndef DRIVERS_VM_LIB_PORT_AREA_H
#define DRIVERS_VM_LIB_PORT_AREA_H

#define PORT_AREA_BYTES 0x60000u

enum port_area_queue { PORT_AREA_RECEIVE, PORT_AREA_TRANSMIT, PORT_AREA_DISK, PORT_AREA_QUEUES };

#define PORT_AREA_NET_ENTRIES  64u /* frames that wait either way; one descriptor each */
#define PORT_AREA_DISK_ENTRIES 4u  /* one request: header, data, status */

/* Of each queue: */
#define PORT_AREA_RINGS(queue) ((queue)*0x1000u)
#define PORT_AREA_DESC         0x000u
#define PORT_AREA_AVAIL        0x400u
#define PORT_AREA_USED         0x800u

#define PORT_AREA_BUFFER_BYTES 2048u
#define PORT_AREA_RECEIVED(i)  (0x04000u + (i)*PORT_AREA_BUFFER_BYTES)
#define PORT_AREA_SENT(i)      (0x24000u + (i)*PORT_AREA_BUFFER_BYTES)
#define PORT_AREA_DISK_HEADER  0x44000u
#define PORT_AREA_DISK_STATUS  0x44010u
#define PORT_AREA_DISK_DATA    0x45000u
#define PORT_AREA_DISK_BYTES   0x10000u /* of data in a request, at most */

#define PORT_AREA_FRAME_HEADER_BYTES 12u
#define PORT_AREA_FRAME_BYTES_MIN    14u
#define PORT_AREA_FRAME_BYTES_MAX    1514u

#define PORT_AREA_DISK_HEADER_BYTES 16u
#define PORT_AREA_DISK_READ         0u /* VIRTIO_BLK_T_IN, T_OUT, T_FLUSH */
#define PORT_AREA_DISK_WRITE        1u
#define PORT_AREA_DISK_FLUSH        4u
#define PORT_AREA_DISK_OK           0u /* VIRTIO_BLK_S_OK */

#endif
